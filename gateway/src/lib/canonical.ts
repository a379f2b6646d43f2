/**
 * Canonical JSON and the hash over it.
 * @module
 */
import { createHash } from 'node:crypto';

export { canonicalJson } from '@limner/shared';

/** SHA-256 in hex of a text or of bytes. */
export const sha256Hex = (text: string | Uint8Array): string => createHash('sha256').update(text).digest('hex');

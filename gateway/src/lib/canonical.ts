/**
 * Canonical JSON and the hash over it.
 * @module
 */
import { createHash } from 'node:crypto';

export { canonicalJson } from '@limner/shared';

export const sha256Hex = (text: string): string => createHash('sha256').update(text).digest('hex');

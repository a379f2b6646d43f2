/**
 * Checks an exported ledger here, in the browser: whoever wants to know whether the gateway's books are true should not
 * have to ask the gateway. The same check as `limner audit verify`.
 * @module
 */
import { verifyExport, type AuditVerdict } from '@limner/shared/audit';
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';

/** @param text JSON Lines, as exported */
export const verify = (text: string): Promise<AuditVerdict> =>
	verifyExport(text.split('\n'), (part) => bytesToHex(sha256(utf8ToBytes(part))));

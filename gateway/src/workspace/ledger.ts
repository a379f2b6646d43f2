/**
 * The ledger of a workspace: the shared chain, hashed with node:crypto, and the entries that the gateway makes.
 * @module
 */
import * as chain from '@limner/shared';
import { sha256Hex } from '../lib/canonical.ts';
import type { Settlement } from '../rpc.ts';

export { EMPTY_LEDGER, GENESIS, NO_TOTALS } from '@limner/shared';
export type { ChainCheck, LedgerAction, LedgerEntry, LedgerHead, LedgerRow, Totals } from '@limner/shared';

/** SHA-256 that seals a history. */
export const histHash = (hist: readonly unknown[]): string => chain.histHash(hist, sha256Hex);

/** Makes the row that follows `head`. */
export const nextLedgerRow = (head: chain.LedgerHead, entries: chain.LedgerEntry[], nowMs: number): chain.LedgerRow =>
	chain.nextLedgerRow(head, entries, nowMs, sha256Hex);

/** Checks rows in order, from the head before the first of them; the empty ledger when they are all. */
export const verifyLedger = (rows: Iterable<chain.LedgerRow>, from?: chain.LedgerHead): chain.ChainCheck =>
	chain.verifyLedger(rows, sha256Hex, from);

export const settleEntry = (settlement: Settlement): chain.LedgerEntry => ({
	type: 'settle',
	job: settlement.jobId,
	state: settlement.state,
	finishedAt: settlement.finishedAt,
	usage: { images: settlement.usage.images, megapixelSteps: settlement.usage.megapixelSteps },
	hist: histHash(settlement.hist),
	images: settlement.images.map(({ index, sha256 }) => ({ index, sha256 })),
});

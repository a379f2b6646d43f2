/**
 * The ledger: what moved usage and who deleted what, as a hash chain. Each row holds the hash of the row before it, so
 * no row can be changed, dropped or put in between without breaking every later hash. Totals are carried from row to
 * row: the usage of a workspace is one read. Hashing is passed in, so that the gateway, the command line and a browser
 * check the very same chain.
 * @module
 */
import { canonicalJson } from './canonical.ts';
import type { Usage } from './jobs.ts';

/** Sums over all rows up to and with this one. */
export interface Totals {
	images: number;
	megapixelSteps: number;
	settledJobs: number;
}

export type LedgerEntry =
	| {
			type: 'settle';
			job: string;
			state: string;
			/** When the job finished, milliseconds since the epoch. */
			finishedAt: number;
			usage: Usage;
			/** SHA-256 over the canonical JSON of the job's history: seals it. */
			hist: string;
			images: { index: number; sha256: string }[];
	  }
	/** Pictures deleted by the owner. */
	| { type: 'purge'; job: string; indexes: number[] }
	/** Pictures deleted because their time was over. */
	| { type: 'expire'; jobs: string[] }
	| { type: 'key'; key: string; scopes: string[] }
	| LedgerAction;

/** Something that a person or a program did through the API and that changes how the service works. */
export interface LedgerAction {
	type: 'action';
	/** Unique; a repeat of the same call carries the same id. */
	id: string;
	/** `key:<id>`, `user:<id>` or `system`. */
	who: string;
	/** Dotted, like `node.pause` or `webhook.create`. */
	action: string;
	/** What it was done to: the id of a node, a token, a webhook. */
	target: string;
	detail?: Record<string, unknown>;
	traceId?: string;
}

/** SHA-256 of a text, in hex. */
export type Sha256 = (text: string) => string;

export interface LedgerRow {
	/** From 1, without gaps. */
	seq: number;
	at: number;
	entries: LedgerEntry[];
	totals: Totals;
	/** Hash of the row before; `GENESIS` for the first. */
	prev: string;
	hash: string;
}

/** What the first row names as its predecessor. */
export const GENESIS = '0'.repeat(64);
export const NO_TOTALS: Totals = { images: 0, megapixelSteps: 0, settledJobs: 0 };

/** Three decimals, as `megapixelSteps()` rounds: a sum of many must not drift. */
const round3 = (value: number): number => Math.round(value * 1000) / 1000;

const addEntry = (totals: Totals, entry: LedgerEntry): Totals =>
	entry.type === 'settle'
		? {
				images: totals.images + entry.usage.images,
				megapixelSteps: round3(totals.megapixelSteps + entry.usage.megapixelSteps),
				settledJobs: totals.settledJobs + 1,
			}
		: totals;

const hashRow = (row: Omit<LedgerRow, 'hash'>, sha256: Sha256): string =>
	sha256(canonicalJson({ seq: row.seq, at: row.at, entries: row.entries, totals: row.totals, prev: row.prev }));

/** SHA-256 that seals a history. */
export const histHash = (hist: readonly unknown[], sha256: Sha256): string => sha256(canonicalJson(hist));

/** What the next row must know of the last one. */
export type LedgerHead = Pick<LedgerRow, 'seq' | 'hash' | 'totals'>;
export const EMPTY_LEDGER: LedgerHead = { seq: 0, hash: GENESIS, totals: NO_TOTALS };

/** Makes the row that follows `head`. */
export const nextLedgerRow = (head: LedgerHead, entries: LedgerEntry[], nowMs: number, sha256: Sha256): LedgerRow => {
	const row = {
		seq: head.seq + 1,
		at: nowMs,
		entries,
		totals: entries.reduce((totals, entry) => addEntry(totals, entry), head.totals),
		prev: head.hash,
	};
	return { ...row, hash: hashRow(row, sha256) };
};

/** Result of checking a chain: the first row that does not fit, and why. */
export type ChainCheck = { ok: true; head: LedgerHead } | { ok: false; seq: number; why: 'sequence' | 'prev' | 'totals' | 'hash' };

/**
 * Checks rows in order.
 * @param from head before the first of them; the empty ledger when they are all
 */
export const verifyLedger = (rows: Iterable<LedgerRow>, sha256: Sha256, from: LedgerHead = EMPTY_LEDGER): ChainCheck => {
	let head = from;
	for (const row of rows) {
		if (row.seq !== head.seq + 1) return { ok: false, seq: row.seq, why: 'sequence' };
		if (row.prev !== head.hash) return { ok: false, seq: row.seq, why: 'prev' };
		const expected = nextLedgerRow(head, row.entries, row.at, sha256);
		if (canonicalJson(expected.totals) !== canonicalJson(row.totals)) return { ok: false, seq: row.seq, why: 'totals' };
		if (expected.hash !== row.hash) return { ok: false, seq: row.seq, why: 'hash' };
		head = row;
	}
	return { ok: true, head };
};

/**
 * An exported ledger as JSON Lines, and its check. The first line names the head of the chain, so that rows cut off
 * the end are missed too; each history stands right after the row that seals it.
 * @module
 */
import { z } from 'zod';
import { HistEntry } from './jobs.ts';
import { EMPTY_LEDGER, histHash, verifyLedger, type LedgerEntry, type LedgerHead, type LedgerRow, type Sha256 } from './ledger.ts';

export const AUDIT_FORMAT_VERSION = 1;

const Hash = z.string().regex(/^[0-9a-f]{64}$/);

/** The lines of an export, told apart by `kind`. */
export const AuditLine = z.discriminatedUnion('kind', [
	z.looseObject({
		kind: z.literal('ledger'),
		version: z.int(),
		workspace: z.string(),
		exportedAt: z.iso.datetime(),
		head: z.object({ seq: z.int().min(0), hash: Hash }),
	}),
	z.looseObject({
		kind: z.literal('row'),
		seq: z.int().min(1),
		at: z.int(),
		entries: z.array(z.looseObject({ type: z.string() })),
		totals: z.looseObject({ images: z.number(), megapixelSteps: z.number(), settledJobs: z.int() }),
		prev: Hash,
		hash: Hash,
	}),
	/** History of a settled job; only those are missing whose job was removed when its time was over. */
	z.looseObject({ kind: z.literal('history'), job: z.string(), hist: z.array(HistEntry) }),
	/** History of a job that is still open: nothing seals it yet. */
	z.looseObject({ kind: z.literal('unsealed'), job: z.string(), hist: z.array(HistEntry) }),
]);
export type AuditLine = z.infer<typeof AuditLine>;

export type AuditVerdict =
	| { ok: true; workspace: string; rows: number; histories: number; unsealed: number; head: { seq: number; hash: string } }
	/** `line` counts from 1. */
	| { ok: false; line: number; seq?: number; why: string };

const WORDS: Record<'sequence' | 'prev' | 'totals' | 'hash', string> = {
	sequence: 'a row is missing, doubled or out of order before this one',
	prev: 'it does not follow the row before it: that one was changed or replaced',
	totals: 'its totals are not those of the rows before it plus its entries',
	hash: 'its content does not fit its hash: it was changed after it was written',
};

interface Progress {
	head: LedgerHead;
	/** Seals of the last row, by job. */
	seals: Map<string, string>;
	workspace: string;
	named: { seq: number; hash: string } | undefined;
	rows: number;
	histories: number;
	unsealed: number;
}

const sealsOf = (row: LedgerRow): Map<string, string> =>
	new Map(row.entries.flatMap((entry) => (entry.type === 'settle' ? [[entry.job, entry.hist] as const] : [])));

const takeRow = (state: Progress, row: LedgerRow, sha256: Sha256): { seq: number; why: string } | undefined => {
	const check = verifyLedger([row], sha256, state.head);
	if (!check.ok) return { seq: row.seq, why: WORDS[check.why] };
	state.head = check.head;
	state.seals = sealsOf(row);
	state.rows++;
	return undefined;
};

type Wrong = { seq?: number; why: string } | undefined;
type LineOf<K extends AuditLine['kind']> = Extract<AuditLine, { kind: K }>;

const takeHeader = (state: Progress, line: LineOf<'ledger'>): Wrong => {
	if (state.named !== undefined) return { why: 'a second header: two exports were joined' };
	state.workspace = line.workspace;
	state.named = line.head;
	return undefined;
};

const takeHistory = (state: Progress, line: LineOf<'history'>, sha256: Sha256): Wrong => {
	if (state.seals.get(line.job) !== histHash(line.hist, sha256)) {
		return { seq: state.head.seq, why: `the history of ${line.job} is not the one that was sealed when the job was settled` };
	}
	state.histories++;
	return undefined;
};

const takeLine = (state: Progress, line: AuditLine, sha256: Sha256): Wrong => {
	if (line.kind === 'ledger') return takeHeader(state, line);
	if (line.kind === 'history') return takeHistory(state, line, sha256);
	if (line.kind === 'row') return takeRow(state, { ...line, entries: line.entries as LedgerEntry[] }, sha256);
	state.unsealed++;
	return undefined;
};

const parseLine = (text: string): AuditLine | undefined => {
	try {
		return AuditLine.safeParse(JSON.parse(text)).data;
	} catch {
		return undefined;
	}
};

/** What the end of an export must agree with. */
const atEnd = (state: Progress, line: number): AuditVerdict => {
	const { named, head } = state;
	if (named === undefined) return { ok: false, line, why: 'the first line, which names the head of the chain, is missing' };
	if (named.seq !== head.seq || named.hash !== head.hash) {
		return { ok: false, line, seq: head.seq, why: `the export ends at row ${head.seq}, its first line names row ${named.seq}` };
	}
	const { workspace, rows, histories, unsealed } = state;
	return { ok: true, workspace, rows, histories, unsealed, head: { seq: head.seq, hash: head.hash } };
};

/**
 * Checks an export line by line: the chain, each history against its seal, and that nothing was cut off the end.
 * @param lines the lines of the file, without line breaks; empty ones are skipped
 */
export const verifyExport = async (lines: AsyncIterable<string> | Iterable<string>, sha256: Sha256): Promise<AuditVerdict> => {
	const state: Progress = {
		head: EMPTY_LEDGER,
		seals: new Map(),
		workspace: '',
		named: undefined,
		rows: 0,
		histories: 0,
		unsealed: 0,
	};
	let number = 0;
	for await (const text of lines) {
		number++;
		if (text.trim() === '') continue;
		const line = parseLine(text);
		if (line === undefined) return { ok: false, line: number, why: 'it is not a line of an exported ledger' };
		const wrong = takeLine(state, line, sha256);
		if (wrong !== undefined) return { ok: false, line: number, ...wrong };
	}
	return atEnd(state, number);
};

/**
 * Collects what a run left behind: SQLite files of the Durable Objects, the bucket's index and its bytes, folders of
 * the nodes, processes.
 * @module
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { parseApiKey } from '@limner/shared';
import { sha256, type Evidence, type JobEvidence, type LedgerEvidence, type ObjectEvidence } from './audit.ts';

type Row = Record<string, unknown>;

/** Every table of every SQLite file below a folder of Durable Objects or of a bucket. */
const databases = (folder: string): string[] =>
	existsSync(folder)
		? readdirSync(folder)
				.filter((name) => name.endsWith('.sqlite') && name !== 'metadata.sqlite')
				.map((name) => join(folder, name))
		: [];

const read = (file: string, table: string): Row[] => {
	const db = new DatabaseSync(file, { readOnly: true, timeout: 5000 });
	try {
		const known = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name = ?").get(table);
		return known === undefined ? [] : db.prepare(`SELECT * FROM "${table}"`).all();
	} finally {
		db.close();
	}
};

const classFolder = (stateDir: string, className: string): string => {
	const root = join(stateDir, 'gateway', 'do');
	const name = readdirSync(root).find((folder) => folder.endsWith(`-${className}`));
	return join(root, name ?? className);
};

const json = <T>(value: unknown, otherwise: T): T => (typeof value === 'string' ? (JSON.parse(value) as T) : otherwise);
const text = (value: unknown): string => (typeof value === 'string' ? value : '');

const jobOf = (ws: string, row: Row): JobEvidence => ({
	id: text(row['id']),
	ws,
	state: text(row['state']),
	images: json(row['images'], []),
	usage: json(row['usage'], null),
	hist: json(row['hist'], []),
	error: json(row['error'], null),
});

const ledgerOf = (ws: string, row: Row): LedgerEvidence => ({
	ws,
	seq: Number(row['seq']),
	prev: text(row['prev']),
	hash: text(row['hash']),
	totals: json(row['totals'], { images: 0, megapixelSteps: 0, settledJobs: 0 }),
	entries: json(row['entries'], []),
});

/** A Workspace's database does not say whose it is; its jobs do, in the keys of their pictures and by who submitted them. */
const workspaceOf = (rows: readonly Row[], owners: ReadonlyMap<string, string>): string =>
	rows.map((row) => owners.get(text(row['id']))).find((ws) => ws !== undefined) ?? 'unknown';

/** Jobs and ledgers of all workspaces. */
export const readWorkspaces = (
	stateDir: string,
	owners: ReadonlyMap<string, string>,
): { jobs: JobEvidence[]; ledger: LedgerEvidence[] } => {
	const jobs: JobEvidence[] = [];
	const ledger: LedgerEvidence[] = [];
	for (const file of databases(classFolder(stateDir, 'Workspace'))) {
		const rows = read(file, 'jobs');
		const ws = workspaceOf(rows, owners);
		jobs.push(...rows.map((row) => jobOf(ws, row)));
		ledger.push(...read(file, 'ledger').map((row) => ledgerOf(ws, row)));
	}
	return { jobs, ledger };
};

export const readLive = (stateDir: string): { id: string; state: string }[] =>
	databases(classFolder(stateDir, 'Pool'))
		.flatMap((file) => read(file, 'live'))
		.map((row) => ({ id: text(row['id']), state: text(row['state']) }));

const blobFile = (folder: string, id: string): string | undefined =>
	readdirSync(folder, { recursive: true, encoding: 'utf8' })
		.filter((name) => name.endsWith(id))
		.map((name) => join(folder, name))[0];

/** Objects with the hash of the bytes that lie on the disk. */
export const readObjects = (stateDir: string): ObjectEvidence[] => {
	const root = join(stateDir, 'gateway', 'r2');
	return databases(join(root, 'miniflare-R2BucketObject'))
		.flatMap((file) => read(file, '_mf_objects'))
		.map((row) => {
			const file = blobFile(root, text(row['blob_id']));
			const bytes = file === undefined ? new Uint8Array() : readFileSync(file);
			return { key: text(row['key']), bytes: bytes.length, sha256: sha256(bytes) };
		});
};

/** Files in a node's outbox. */
export const readOutbox = (stateDir: string): string[] => {
	const folder = join(stateDir, 'outbox');
	return existsSync(folder) ? readdirSync(folder) : [];
};

/** Processes that were started with a mark in their environment. */
export const processesMarked = (mark: string): { pid: number; ppid: number; command: string }[] =>
	readdirSync('/proc')
		.filter((name) => /^\d+$/.test(name))
		.flatMap((name) => {
			try {
				if (!readFileSync(`/proc/${name}/environ`, 'utf8').split('\0').includes(mark)) return [];
				const stat = readFileSync(`/proc/${name}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
				if (stat[0] === 'Z') return [];
				const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
				return [{ pid: Number(name), ppid: Number(stat[1]), command }];
			} catch {
				// It has ended in between.
				return [];
			}
		});

/** The workspace that a key belongs to. */
export const workspaceOfKey = (key: string): string => parseApiKey(key)?.ws ?? '';

export type { Evidence };

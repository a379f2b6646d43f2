/**
 * What a workspace is besides ledger, ended jobs and pictures, for backups: rows to parts, and parts to rows.
 * @module
 */
import { isReserved, isTerminal, refuse, WorkspaceLimits, type BackupPart, type BackupPartOf, type Result } from '@limner/shared';
import type { JobRow, WorkspacePart } from '../rpc.ts';
import { isRestoring, USAGE_RESTORED, wrongRow } from './restore.ts';
import type { Store } from './store.ts';
import { takedownsOf } from './takedown.ts';
import { keysOf, membersOf, putMember } from './tenancy-rows.ts';
import type { ByPair } from './usage.ts';

type Kind = BackupPart['kind'];
const partsOf = <K extends Kind>(kind: K, rows: readonly Omit<BackupPartOf<K>, 'kind'>[]) => rows.map((row) => ({ kind, ...row }));

/** An uploaded input is no part of a backup, so a job that starts from one could not be done. */
const startsFromUpload = ({ spec }: JobRow): boolean => {
	const keys: unknown = spec['inputKeys'];
	return typeof keys === 'object' && keys !== null && Object.values(keys).some((key) => String(key).startsWith('a/'));
};

const openJobs = (store: Store): BackupPart[] =>
	[...store.open.keys()].flatMap((id) => {
		const job = store.job(id);
		return job === undefined || startsFromUpload(job.row) ? [] : [{ kind: 'open-job' as const, keyId: job.keyId, row: { ...job.row } }];
	});

/** Everything, in the order in which it is brought back. */
export const workspaceParts = (store: Store, secretId: string): BackupPart[] => {
	const profile = JSON.parse(store.getMeta('profile') ?? '{}') as { name?: string; limits?: unknown };
	const days = store.sql.all<{ day_at: number; pairs: string }>('SELECT day_at, pairs FROM usage_days ORDER BY day_at');
	return [
		{ kind: 'profile', name: profile.name ?? store.ws, limits: WorkspaceLimits.parse(profile.limits ?? {}), secretId },
		...partsOf('member', membersOf(store)),
		...keysOf(store).map((key) => ({
			kind: 'key' as const,
			id: key.id,
			hash: key.hash,
			name: key.name ?? '',
			scopes: key.scopes.filter((scope) => !isReserved(scope)),
			createdAt: key.createdAt,
			createdBy: key.createdBy ?? null,
			expiresAt: key.expiresAt,
			revokedAt: key.revokedAt,
			models: key.models ?? null,
			limits: key.limits ?? null,
		})),
		...partsOf('allocation', store.meter.allocations),
		...days.map(({ day_at: dayAt, pairs }) => ({ kind: 'usage-day' as const, dayAt, pairs: JSON.parse(pairs) as ByPair })),
		...partsOf('takedown', takedownsOf(store)),
		...openJobs(store),
		{ kind: 'usage', ...store.meter.state },
	];
};

const WRITERS: { [K in WorkspacePart['kind']]: (store: Store, part: BackupPartOf<K>, trusted: boolean) => void } = {
	profile: (store, { name, limits }, trusted) => {
		const before = JSON.parse(store.getMeta('profile') ?? '{}') as { limits?: unknown };
		store.setMeta('profile', JSON.stringify({ name, limits: trusted ? limits : (before.limits ?? {}) }));
	},
	member: (store, { kind: _kind, ...member }) => putMember(store, member),
	key: (store, key) => {
		// A key that is there is the one that restores, or newer than the backup.
		if (store.key(key.id) === undefined) store.insertKeyRow({ ...key, scopes: key.scopes.filter((scope) => !isReserved(scope)) });
	},
	allocation: (store, { kind: _kind, ...allocation }) => store.meter.restoreAllocation(allocation),
	'usage-day': (store, { dayAt, pairs }) => {
		store.sql.write('usage_days', 'INSERT OR REPLACE INTO usage_days (day_at, pairs) VALUES (?, ?)', dayAt, JSON.stringify(pairs));
	},
	usage: (store, { kind: _kind, ...state }) => {
		store.sql.write('ledger', 'UPDATE ledger SET usage = ? WHERE seq = ?', JSON.stringify(state), store.ledger.seq);
		store.setMeta(USAGE_RESTORED, '1');
	},
	takedown: (store, { jobId, index, at, who, reason }) => {
		store.sql.write(
			'takedowns',
			'INSERT OR IGNORE INTO takedowns (job_id, idx, at, who, reason) VALUES (?, ?, ?, ?, ?)',
			jobId,
			index,
			at,
			who,
			reason,
		);
	},
	'open-job': (store, { keyId, row }) => {
		const job = row as unknown as JobRow;
		const state = job.spec.dependsOn === undefined ? 'queued' : 'waiting';
		if (store.job(job.id) === undefined) store.insertJob({ keyId, row: { ...job, state, images: [], hist: [] } });
	},
};

/** The writer of a part's kind takes that part: a link between two types that the checker cannot follow. */
const write = (store: Store, part: WorkspacePart, trusted: boolean): void =>
	(WRITERS[part.kind] as (store: Store, part: WorkspacePart, trusted: boolean) => void)(store, part, trusted);

/** What bears on quotas, and jobs that nobody has judged: a backup is a file, and an admin could have edited it. */
const NEEDS_TRUST: ReadonlySet<WorkspacePart['kind']> = new Set(['allocation', 'usage-day', 'usage', 'open-job']);

const wrong = (store: Store, part: WorkspacePart): string | undefined => {
	if (part.kind !== 'open-job') return undefined;
	const { id, state } = part.row;
	if (isTerminal('job', state)) return `job ${id} has ended`;
	return wrongRow(store.ws, part.row as unknown as JobRow);
};

/**
 * Writes parts of a backup. They come after the ledger, because usage is kept beside its last row.
 * @param trusted whoever runs the gateway restores; else limits, usage and reservations stay as they are, and no job begins
 * @returns what was left out
 */
export const restoreParts = (store: Store, parts: readonly WorkspacePart[], trusted: boolean): Result<{ left: string[] }> => {
	if (!isRestoring(store)) return refuse('conflict', 'no restore has begun');
	const why = parts.map((part) => wrong(store, part)).find((text) => text !== undefined);
	if (why !== undefined) return refuse('validation_failed', why);
	const kept = parts.filter((part) => trusted || !NEEDS_TRUST.has(part.kind));
	for (const part of kept) write(store, part, trusted);
	// Open jobs may be older than the last row takes the oldest one to be; `reload` would not find them.
	store.sql.write('ledger', "UPDATE ledger SET open_from = '' WHERE seq = ?", store.ledger.seq);
	store.reload();
	const left = new Set(parts.filter((part) => !kept.includes(part)).map(({ kind }) => kind));
	return { ok: true, left: [...left].map((kind) => `${kind}: only the key that the gateway was started with brings it back`) };
};

/**
 * Removes what is past its time: pictures after RESULT_TTL, jobs after twice that, idempotency rows after 24 h, inputs
 * at their expiry. What an open job starts from stays until the job has ended. Objects go first and rows follow, so that a failure in between leaves a row that names them, and
 * the next run repeats the deletion. One run is bounded; what is left over is done by the next.
 * @module
 */
import { assetKey, jobIdLowerBound, REQUEST_LIMITS, TIMING, type ImageRecord } from '@limner/shared';
import type { Storage } from '../storage/index.ts';
import { OBJECTS } from './jobs.ts';
import { idemBucket, type Store } from './store.ts';
import { chunks, SWEEP_LIMITS } from './sweep.ts';

/** The part of the store that retention needs. */
export type ObjectStore = Pick<Storage, 'delete' | 'list'>;

/** `lowerBound` rounds down to 32 ms: ids made up to and at a time are below the bound of that time plus this. */
const ID_ROUNDING_MS = 64;
const idsUpTo = (atMs: number): string => jobIdLowerBound(Math.max(0, atMs + ID_ROUNDING_MS));

const CURSOR = 'retention_from';

const deleteKeys = async (pictures: ObjectStore, keys: string[]): Promise<void> => {
	for (const part of chunks(keys, SWEEP_LIMITS.deleteKeys)) await pictures.delete(part);
};

const listPrefix = async (pictures: ObjectStore, prefix: string): Promise<string[]> => {
	const keys: string[] = [];
	let cursor: string | undefined;
	do {
		const page = await pictures.list({ prefix, ...(cursor === undefined ? {} : { cursor }) });
		keys.push(...page.objects.map((object) => object.key));
		({ cursor } = page);
	} while (cursor !== undefined);
	return keys;
};

type DueJob = { id: string; objects: number; images: string };

/** From when on no ticket of a job that finished then can add an object to it. */
const prefixTtlMs = (ttlMs: number): number => Math.max(ttlMs, TIMING.ticketTtlMs);

/** What open jobs start from: their inputs must outlive them. */
const inputsInUse = (store: Store): { assets: string[]; jobs: string[] } => {
	const [oldest] = store.open.keys();
	if (oldest === undefined) return { assets: [], jobs: [] };
	const rows = store.sql.all<{ init: string | null; mask: string | null }>(
		`SELECT json_extract(spec, '$.inputKeys.init') AS init, json_extract(spec, '$.inputKeys.mask') AS mask
			FROM jobs WHERE id >= ? AND finished_at IS NULL`,
		oldest,
	);
	const parts = rows.flatMap(({ init, mask }) => [init, mask]).flatMap((key) => (key === null ? [] : [key.split('/')]));
	const idsOf = (wanted: string): string[] => parts.flatMap(([kind, , id = '']) => (kind === wanted ? [id] : []));
	return { assets: idsOf('a'), jobs: idsOf('w') };
};

const namedKeys = (job: DueJob): string[] => (JSON.parse(job.images) as ImageRecord[]).map((image) => image.key);

/** Pictures of jobs that finished at least `ttlMs` ago. Answers whether more may be due. */
const removePictures = async (store: Store, pictures: ObjectStore, ttlMs: number, nowMs: number): Promise<boolean> => {
	const from = store.getMeta(CURSOR) ?? '';
	const bound = idsUpTo(nowMs - ttlMs);
	const lastTicketMs = nowMs - prefixTtlMs(ttlMs);
	const due = store.sql.all<DueJob & { finished_at: number }>(
		`SELECT id, objects, images, finished_at FROM jobs WHERE id >= ? AND id < ? AND objects > 0 AND finished_at <= ?
			AND (images <> '[]' OR finished_at <= ?) AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT ?`,
		from,
		bound,
		nowMs - ttlMs,
		lastTicketMs,
		JSON.stringify(inputsInUse(store).jobs),
		SWEEP_LIMITS.rows,
	);
	// A listing too early would miss what a node may still upload, so the job keeps its mark until its last ticket has ended.
	const listed = due.filter((job) => job.objects === OBJECTS.prefix && job.finished_at <= lastTicketMs);
	const keys = new Set(due.flatMap(namedKeys));
	for (const { id } of listed) {
		for (const key of await listPrefix(pictures, `w/${store.ws}/${id}/`)) keys.add(key);
	}
	await deleteKeys(pictures, [...keys]);
	for (const job of due) {
		const waits = job.objects === OBJECTS.prefix && !listed.includes(job);
		store.purgeJob({ id: job.id, images: [] }, waits ? OBJECTS.prefix : OBJECTS.none, job.images === '[]' ? null : nowMs);
	}
	const expired = due.filter(({ images }) => images !== '[]');
	if (expired.length > 0) store.appendLedger([{ type: 'expire', jobs: expired.map(({ id }) => id) }], nowMs);
	moveCursor(store, from, bound);
	return due.length === SWEEP_LIMITS.rows;
};

/** The cursor stands at the oldest job whose pictures are not removed yet, or which is open and may get some. */
const moveCursor = (store: Store, from: string, bound: string): void => {
	const next = store.sql.all<{ id: string }>(
		'SELECT id FROM jobs WHERE id >= ? AND id < ? AND (objects > 0 OR finished_at IS NULL) ORDER BY id LIMIT 1',
		from,
		bound,
	)[0];
	const to = next?.id ?? bound;
	if (to > from) store.setMeta(CURSOR, to);
};

/** Jobs that finished at or before `beforeMs` and have no objects left. */
const removeJobs = (store: Store, beforeMs: number): boolean => {
	const written = store.sql.write(
		'jobs',
		`DELETE FROM jobs WHERE id IN (
			SELECT id FROM jobs WHERE id < ? AND finished_at <= ? AND objects = 0 ORDER BY id LIMIT ?)`,
		idsUpTo(beforeMs),
		beforeMs,
		SWEEP_LIMITS.rows,
	);
	return written >= SWEEP_LIMITS.rows;
};

/** Rows of buckets that have ended, of submits and of other requests. */
const removeIdem = (store: Store, nowMs: number): boolean => {
	const before = idemBucket(nowMs) - 1;
	const written = store.sql.write(
		'idem',
		'DELETE FROM idem WHERE (bucket, key) IN (SELECT bucket, key FROM idem WHERE bucket < ? ORDER BY bucket, key LIMIT ?)',
		before,
		SWEEP_LIMITS.rows,
	);
	const replies = store.sql.write(
		'replies',
		'DELETE FROM replies WHERE (bucket, name) IN (SELECT bucket, name FROM replies WHERE bucket < ? ORDER BY bucket, name LIMIT ?)',
		before,
		SWEEP_LIMITS.rows,
	);
	return written >= SWEEP_LIMITS.rows || replies >= SWEEP_LIMITS.rows;
};

const removeAssets = async (store: Store, pictures: ObjectStore, nowMs: number): Promise<boolean> => {
	const due = store.sql.all<{ id: string }>(
		'SELECT id FROM assets WHERE expires_at <= ? AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT ?',
		nowMs,
		JSON.stringify(inputsInUse(store).assets),
		SWEEP_LIMITS.rows,
	);
	await deleteKeys(
		pictures,
		due.map(({ id }) => assetKey(store.ws, id)),
	);
	for (const { id } of due) store.sql.write('assets', 'DELETE FROM assets WHERE id = ?', id);
	return due.length === SWEEP_LIMITS.rows;
};

/**
 * One bounded run.
 * @returns whether more is due
 * @throws {StorageError} rows whose objects were not deleted are as before
 */
export const retain = async (store: Store, pictures: ObjectStore, ttlMs: number, nowMs: number): Promise<boolean> => {
	const idemLeft = removeIdem(store, nowMs);
	const assetsLeft = await removeAssets(store, pictures, nowMs);
	const picturesLeft = await removePictures(store, pictures, ttlMs, nowMs);
	const jobsLeft = removeJobs(store, nowMs - 2 * ttlMs);
	return idemLeft || assetsLeft || picturesLeft || jobsLeft;
};

const plus = (at: number | null, ms: number): number | null => (at === null ? null : at + ms);

/** When the oldest thing falls due, or `null` when nothing is stored. May be too early, never too late. */
export const retentionDueAt = (store: Store, ttlMs: number, nowMs: number): number | null => {
	const from = store.getMeta(CURSOR) ?? '';
	const bound = idsUpTo(nowMs - ttlMs);
	const time = (statement: string, ...bindings: (string | number)[]): number | null =>
		store.sql.all<{ at: number | null }>(statement, ...bindings)[0]?.at ?? null;
	const times = [
		// Made longer ago than the time to live, but finished later than that.
		plus(
			time(
				`SELECT min(finished_at) AS at FROM (
					SELECT finished_at FROM jobs WHERE id >= ? AND id < ? AND objects > 0 AND images <> '[]' ORDER BY id LIMIT ?)`,
				from,
				bound,
				SWEEP_LIMITS.rows,
			),
			ttlMs,
		),
		// Nothing left by name: waits for its last ticket.
		plus(
			time(
				"SELECT finished_at AS at FROM jobs WHERE id >= ? AND id < ? AND objects > 0 AND images = '[]' ORDER BY id LIMIT 1",
				from,
				bound,
			),
			prefixTtlMs(ttlMs),
		),
		// A job cannot finish before it was made.
		plus(time('SELECT created_at AS at FROM jobs WHERE id >= ? AND objects > 0 ORDER BY id LIMIT 1', from > bound ? from : bound), ttlMs),
		// Rows go when their objects are gone, in the same run.
		plus(
			time('SELECT CASE WHEN objects = 0 THEN finished_at END AS at FROM jobs WHERE finished_at IS NOT NULL ORDER BY id LIMIT 1'),
			2 * ttlMs,
		),
		// A bucket is removed when the bucket after it has ended too.
		time('SELECT (bucket + 2) * ? AS at FROM idem ORDER BY bucket LIMIT 1', REQUEST_LIMITS.idempotencyTtlMs),
		time('SELECT (bucket + 2) * ? AS at FROM replies ORDER BY bucket LIMIT 1', REQUEST_LIMITS.idempotencyTtlMs),
		time('SELECT min(expires_at) AS at FROM assets'),
	];
	const due = times.filter((at) => at !== null);
	return due.length === 0 ? null : Math.min(...due);
};

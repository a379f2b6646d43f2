/**
 * Takedown of a picture: its bytes go, its row forgets it, and why stays on record.
 * @module
 */
import { imageId, isTerminal, refuse, type Refusal } from '@limner/shared';
import type { JobRow, Takedown } from '../rpc.ts';
import type { Storage } from '../storage/index.ts';
import { objectsOf } from './jobs.ts';
import type { Store } from './store.ts';

type Objects = Pick<Storage, 'delete' | 'list'>;

/** Why a picture cannot be taken down; `undefined` when it can. What its owner removed before can be, too. */
export const planTakedown = (row: JobRow | undefined, index: number): Refusal | undefined => {
	if (row === undefined) return refuse('not_found', 'there is no such job');
	if (!isTerminal('job', row.state)) return refuse('conflict', 'the job is still open; cancel it first');
	const made = row.purgedAt !== undefined || row.images.some((image) => image.index === index);
	return made && index < row.spec.n ? undefined : refuse('not_found', `the job has no picture ${index}`);
};

/** Deletes the objects of all attempts at a picture. Answers how many there were. */
export const removeObjects = async (objects: Objects, ws: string, jobId: string, index: number): Promise<number> => {
	const prefix = `w/${ws}/${jobId}/${index}/`;
	let removed = 0;
	for (;;) {
		// Deleted pages do not come again, so each listing is the first.
		const page = await objects.list({ prefix });
		if (page.objects.length === 0) return removed;
		await objects.delete(page.objects.map(({ key }) => key));
		removed += page.objects.length;
	}
};

/** Rows of a takedown. The row is read here: others may have removed pictures while the objects were deleted. */
export const takeDown = (store: Store, { traceId, ...takedown }: Takedown & { traceId: string }): void => {
	const { jobId, index, at, who, reason } = takedown;
	const row = store.job(jobId)?.row;
	if (row !== undefined) {
		const left = { ...row, images: row.images.filter((image) => image.index !== index) };
		store.purgeJob(left, objectsOf(left), at);
	}
	store.sql.write(
		'takedowns',
		'INSERT OR IGNORE INTO takedowns (job_id, idx, at, who, reason) VALUES (?, ?, ?, ?, ?)',
		jobId,
		index,
		at,
		who,
		reason,
	);
	const target = imageId(jobId, index);
	store.appendLedger(
		[
			{ type: 'purge', job: jobId, indexes: [index] },
			{ type: 'action', id: crypto.randomUUID(), who, action: 'image.takedown', target, detail: { reason }, traceId },
		],
		at,
	);
};

type TakedownSql = { job_id: string; idx: number; at: number; who: string; reason: string };
const fromSql = ({ job_id: jobId, idx: index, at, who, reason }: TakedownSql): Takedown => ({ jobId, index, at, who, reason });

export const takedownOf = (store: Store, jobId: string, index: number): Takedown | undefined => {
	const row = store.sql.all<TakedownSql>('SELECT * FROM takedowns WHERE job_id = ? AND idx = ?', jobId, index)[0];
	return row && fromSql(row);
};

/** All of them, for a backup. */
export const takedownsOf = (store: Store): Takedown[] =>
	store.sql.all<TakedownSql>('SELECT * FROM takedowns ORDER BY job_id, idx').map(fromSql);

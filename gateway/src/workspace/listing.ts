/**
 * Pages of jobs and pictures, newest first. A page that filters looks at a bounded number of rows: it may come back
 * short, with a cursor from which to go on.
 * @module
 */
import { isJobId, isTerminal, type ImageRecord, type JobState } from '@limner/shared';
import type { JobRow, Page } from '../rpc.ts';
import { JOB_COLUMNS, jobFromSql, type JobSql } from './schema.ts';
import type { Store } from './store.ts';

/** Rows that one page looks at. */
export const SCAN_ROWS = 2000;
/** Sorts after every job id. */
const AFTER_ALL = 'job_~';

/** Reads a cursor of `listImages`: `<jobId>:<index>`, the picture after which to go on. */
export const parseImageCursor = (cursor: string): { jobId: string; index: number } | undefined => {
	const match = /^(job_[0-9a-z]{28}):(\d{1,2})$/.exec(cursor);
	return match && isJobId(match[1] as string) ? { jobId: match[1] as string, index: Number(match[2]) } : undefined;
};

/** Walks rows below `before`, newest first. `take` answers whether the page is full. */
const walk = (store: Store, before: string, inclusive: boolean, take: (row: JobSql) => boolean): string | null => {
	const order = `FROM jobs WHERE id ${inclusive ? '<=' : '<'} ? ORDER BY id DESC`;
	let scanned = 0;
	let last = '';
	for (const row of store.sql.each<JobSql>(`SELECT ${JOB_COLUMNS} ${order} LIMIT ?`, before, SCAN_ROWS + 1)) {
		if (scanned === SCAN_ROWS) return last;
		if (take(row)) return last;
		scanned++;
		last = row.id;
	}
	return null;
};

/** A state of a job, or any of those that have not ended. */
export type JobFilter = JobState | 'open';

/** Open jobs are known by their ids: no row of an ended one is looked at. */
const listOpen = (store: Store, { limit, cursor }: { limit: number; cursor?: string }): Page<JobRow> => {
	const ids = [...store.open.keys()]
		.filter((id) => cursor === undefined || id < cursor)
		.toSorted()
		.toReversed();
	const shown = ids.slice(0, limit);
	return { data: shown.flatMap((id) => store.job(id)?.row ?? []), nextCursor: ids.length > limit ? (shown.at(-1) ?? null) : null };
};

/**
 * Jobs, newest first. A row says `queued` until its job ends, so each open state selects all open jobs: what the
 * shard knows of them tells them apart.
 * @param query `cursor`: the id of the last job of the page before; anything else gives an empty page
 */
export const listJobs = (store: Store, query: { limit: number; cursor?: string; state?: JobFilter }): Page<JobRow> => {
	if (query.cursor !== undefined && !isJobId(query.cursor)) return { data: [], nextCursor: null };
	const wanted = query.state;
	if (wanted !== undefined && (wanted === 'open' || !isTerminal('job', wanted))) return listOpen(store, query);
	const data: JobRow[] = [];
	const nextCursor = walk(store, query.cursor ?? AFTER_ALL, false, (row) => {
		if (wanted !== undefined && row.state !== wanted) return false;
		// The row after a full page only tells that there is more.
		if (data.length === query.limit) return true;
		data.push(jobFromSql(store.ws, row).row);
		return false;
	});
	return { data, nextCursor };
};

/**
 * Pictures of ended jobs, newest job first and by index within a job.
 * @param query `cursor`: see {@link parseImageCursor}; anything else gives an empty page
 */
export const listImages = (store: Store, query: { limit: number; cursor?: string }): Page<{ job: JobRow; image: ImageRecord }> => {
	const from = query.cursor === undefined ? undefined : parseImageCursor(query.cursor);
	if (query.cursor !== undefined && from === undefined) return { data: [], nextCursor: null };
	const data: { job: JobRow; image: ImageRecord }[] = [];
	const stopped = walk(store, from?.jobId ?? AFTER_ALL, true, (sql) => {
		if (sql.images === '[]') return false;
		const job = jobFromSql(store.ws, sql).row;
		const images = job.images
			.filter((image) => from === undefined || job.id !== from.jobId || image.index > from.index)
			.toSorted((a, b) => a.index - b.index);
		for (const image of images) {
			if (data.length === query.limit) return true;
			data.push({ job, image });
		}
		return false;
	});
	const last = data.at(-1);
	if (last !== undefined && data.length === query.limit && stopped !== null) {
		return { data, nextCursor: `${last.job.id}:${last.image.index}` };
	}
	// The scan ended at its bound: go on below the last row that was looked at.
	return { data, nextCursor: stopped === null ? null : `${stopped}:99` };
};

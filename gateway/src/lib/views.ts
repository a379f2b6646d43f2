/**
 * What callers read: rows of the Workspace, merged with what the Pool knows of open jobs, with signed URLs.
 * @module
 */
import { imageId, isTerminal, megapixelSteps, TIMING, type ImageRecord, type ImageView, type JobView, type Usage } from '@limner/shared';
import type { JobRow, LiveJob } from '../rpc.ts';
import { signClaims } from './sign.ts';

/** What signing needs. */
export interface ViewContext {
	secret: string;
	/** Where callers reach the gateway, without a trailing slash. */
	base: string;
	/** Milliseconds since the epoch. */
	nowMs: number;
}

const iso = (ms: number): string => new Date(ms).toISOString();

/** Signed URL of one stored object, and when it ends. */
export const objectUrl = (context: ViewContext, ws: string, key: string, contentType: string): { url: string; expiresAt: string } => {
	const exp = context.nowMs + TIMING.imageUrlTtlMs;
	const ticket = signClaims(context.secret, { k: 'object', ws, key, ct: contentType, exp });
	return { url: `${context.base}/api/v1/objects/${ticket}`, expiresAt: iso(exp) };
};

/** A picture as callers see it. */
export const imageView = (context: ViewContext, ws: string, jobId: string, record: ImageRecord): ImageView => ({
	id: imageId(jobId, record.index),
	index: record.index,
	seed: record.seed,
	width: record.width,
	height: record.height,
	contentType: record.contentType,
	bytes: record.bytes,
	sha256: record.sha256,
	...objectUrl(context, ws, record.key, record.contentType),
	nodeId: record.nodeId,
	...(record.meta === undefined ? {} : { meta: record.meta }),
	...(record.flagged === undefined ? {} : { flagged: record.flagged }),
});

/** The spec says what was asked for at submit; the history says what became of the priority. */
const withPriority = (row: JobRow): JobRow => {
	const to = Number(row.hist.findLast(({ type }) => type === 'priority')?.to ?? Number.NaN);
	return Number.isInteger(to) && to !== row.spec.priority ? { ...row, spec: { ...row.spec, priority: to } } : row;
};

/** The row as it would be if the Pool settled now. A finished row is the truth; while it is open the Pool is ahead. */
export const mergeLive = (row: JobRow, live: LiveJob | undefined): JobRow => {
	if (live === undefined || isTerminal('job', row.state)) return withPriority(row);
	return withPriority({
		...row,
		state: live.state,
		images: live.images,
		hist: live.hist.length >= row.hist.length ? live.hist : row.hist,
		warnings: [...new Set([...row.warnings, ...live.warnings])],
		...(live.error === undefined ? {} : { error: live.error }),
		...(live.startedAt === undefined ? {} : { startedAt: live.startedAt }),
		...(live.finishedAt === undefined ? {} : { finishedAt: live.finishedAt }),
		...(isTerminal('job', live.state) ? { usage: usageOf(row, live.images.length) } : {}),
	});
};

/** What an ended job is charged for: the pictures that were made. */
const usageOf = ({ spec }: JobRow, images: number): Usage => ({
	images,
	megapixelSteps: megapixelSteps(spec.width, spec.height, spec.steps, images),
});

const times = (row: JobRow): Partial<Pick<JobView, 'startedAt' | 'finishedAt'>> => ({
	...(row.startedAt === undefined ? {} : { startedAt: iso(row.startedAt) }),
	...(row.finishedAt === undefined ? {} : { finishedAt: iso(row.finishedAt) }),
});

const optional = (row: JobRow): Partial<JobView> => ({
	...times(row),
	...(row.error === undefined ? {} : { error: row.error }),
	...(row.usage === undefined ? {} : { usage: row.usage }),
	...(row.retryOf === undefined ? {} : { retryOf: row.retryOf }),
	...(row.traceId === undefined ? {} : { traceId: row.traceId }),
});

const purgedNote = (row: JobRow): string[] => {
	if (row.purgedAt === undefined) return [];
	const what = row.images.length === 0 ? 'the pictures of this job were' : 'some pictures of this job were';
	return [`${what} removed on ${iso(row.purgedAt)}`];
};

/** What a job has besides pictures: reports, and its place among others. */
const beside = (row: JobRow): Partial<JobView> => {
	const { taskType, workflow, dependsOn } = row.spec;
	const results = row.hist.flatMap(({ type, index, nodeId, at, data }) =>
		type === 'result' && data !== undefined ? [{ index: index ?? 0, nodeId: nodeId ?? '', at: iso(at), data }] : [],
	);
	const ends = new Map(
		row.hist.flatMap(({ handoff }) => (handoff?.from.startsWith('job:') === true ? [[handoff.from.slice(4), handoff.ok]] : [])),
	);
	const deps = dependsOn?.map((job) => ({ job, ...(ends.has(job) ? { met: ends.get(job) === true } : {}) }));
	return {
		...(taskType === undefined || taskType === 'GENERAL' ? {} : { taskType }),
		...(results.length === 0 ? {} : { results }),
		...(workflow === undefined ? {} : { workflow: { id: workflow.id, key: workflow.key } }),
		...(deps === undefined ? {} : { dependsOn: deps }),
	};
};

/**
 * A job as callers see it.
 * @param live what the Pool knows; absent for a view made only from the row
 */
export const jobView = (context: ViewContext, row: JobRow, live?: LiveJob): JobView => {
	const merged = mergeLive(row, live);
	const self = `${context.base}/api/v1/jobs/${row.id}`;
	const { inputKeys: _internal, maxConcurrent: _limit, flagged, ...request } = merged.spec;
	return {
		id: row.id,
		state: merged.state,
		createdAt: iso(row.createdAt),
		...optional(merged),
		...beside(merged),
		request,
		images: merged.images.toSorted((a, b) => a.index - b.index).map((image) => imageView(context, row.ws, row.id, image)),
		...(live === undefined ? {} : { tasks: live.tasks }),
		...(live?.queue === undefined || isTerminal('job', merged.state) ? {} : { queue: live.queue }),
		warnings: [...merged.warnings, ...purgedNote(row)],
		...(flagged === undefined ? {} : { flagged }),
		history: merged.hist,
		links: { self, events: `${self}/events`, cancel: `${self}/cancel` },
	};
};

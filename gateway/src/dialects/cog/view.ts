/**
 * A job as Cog's and Replicate's prediction. Pure but for the signing of addresses.
 * @module
 */
import { z } from '@hono/zod-openapi';
import { isTerminal, type JobState } from '@limner/shared';
import { named } from '../../lib/openapi.ts';
import { imageView, type ViewContext } from '../../lib/views.ts';
import type { JobRow } from '../../rpc.ts';

export const Prediction = named(
	z.object({
		id: z.string(),
		model: z.string(),
		version: z.string(),
		input: z.record(z.string(), z.unknown()),
		/** Addresses of the pictures, or `data:` URLs. */
		output: z.array(z.string()).nullable(),
		error: z.string().nullable(),
		status: z.enum(['starting', 'processing', 'succeeded', 'failed', 'canceled']),
		logs: z.string(),
		metrics: z.object({ predict_time: z.number().optional() }),
		data_removed: z.boolean(),
		source: z.literal('api'),
		created_at: z.string(),
		started_at: z.string().nullable(),
		completed_at: z.string().nullable(),
		urls: z.object({ get: z.string(), cancel: z.string(), stream: z.string() }),
	}),
	'CogPrediction',
);
export type Prediction = z.infer<typeof Prediction>;

const STATUS: Record<JobState, Prediction['status']> = {
	waiting: 'starting',
	queued: 'starting',
	running: 'processing',
	succeeded: 'succeeded',
	failed: 'failed',
	canceled: 'canceled',
	expired: 'failed',
};

const iso = (ms: number | undefined): string | null => (ms === undefined ? null : new Date(ms).toISOString());

/** Label that remembers the id that a client chose. */
export const idLabel = (id: string): string => `cog:${id}`;

/** The client's id of a job, else the job's own. */
export const predictionId = (row: Pick<JobRow, 'id' | 'spec'>): string =>
	row.spec.labels?.find((label) => label.startsWith('cog:'))?.slice('cog:'.length) ?? row.id;

/**
 * The prediction.
 * @param base path prefix of the dialect, `/v1` for Replicate's clients
 * @param more `inline`: pictures as `data:` URLs, addresses when absent; `notes`: further lines of the logs
 */
export const predictionOf = (
	context: ViewContext,
	row: JobRow,
	base: string,
	{ inline, notes = [] }: { inline?: readonly string[] | undefined; notes?: readonly string[] } = {},
): Prediction => {
	const id = predictionId(row);
	const self = `${context.base}${base}/predictions/${encodeURIComponent(id)}`;
	const ended = isTerminal('job', row.state);
	const output = inline ?? row.images.map((image) => imageView(context, row.ws, row.id, image).url);
	const took = row.startedAt !== undefined && row.finishedAt !== undefined ? { predict_time: (row.finishedAt - row.startedAt) / 1000 } : {};
	const { labels: _labels, inputKeys: _keys, ...input } = row.spec;
	return {
		id,
		model: row.spec.model,
		version: row.spec.model,
		input,
		output: output.length === 0 ? null : [...output],
		error: row.error?.message ?? (row.state === 'expired' ? 'the job expired before a node could run it' : null),
		status: STATUS[row.state],
		logs: [...row.warnings, ...notes].join('\n'),
		metrics: took,
		data_removed: row.purgedAt !== undefined,
		source: 'api',
		created_at: new Date(row.createdAt).toISOString(),
		started_at: iso(row.startedAt),
		completed_at: ended ? iso(row.finishedAt ?? row.createdAt) : null,
		urls: { get: self, cancel: `${self}/cancel`, stream: `${context.base}/api/v1/jobs/${row.id}/events` },
	};
};

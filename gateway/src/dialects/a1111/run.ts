/**
 * Runs what was asked for, one job or a workflow of two passes, and answers as the web UI does.
 * @module
 */
import type { ImageRecord, JobRequest } from '@limner/shared';
import { sha256Hex } from '../../lib/canonical.ts';
import type { KnownModel } from '../../lib/catalog.ts';
import type { AppContext } from '../../lib/context.ts';
import { submitWorkflow } from '../../routes/workflows/service.ts';
import type { JobRow } from '../../rpc.ts';
import { answer } from '../lib/answer.ts';
import { warn } from '../lib/model.ts';
import { base64All } from '../lib/pictures.ts';
import { startJob, waitForJob } from '../lib/run.ts';
import type { Size } from '../lib/size.ts';
import { refuse } from './errors.ts';
import { hiresOf } from './hires.ts';
import { infoOf, type SecondPass } from './info.ts';
import { keyLabel } from './progress.ts';
import type { Common, Txt2Img } from './schema.ts';

interface Made {
	/** What `info` tells of. */
	row: JobRow;
	images: ImageRecord[];
	second?: SecondPass;
}

const answerOf = async (c: AppContext, body: Common, { row, images, second }: Made, extra: object): Promise<Response> => {
	const send = body.send_images === false ? [] : images;
	return Response.json({
		images: await base64All(c, send),
		parameters: { ...body, ...extra },
		info: infoOf(row.spec, images, row.startedAt ?? row.createdAt, second),
	});
};

const labelled = <T extends JobRequest>(c: AppContext, request: T): T => ({ ...request, labels: [...(request.labels ?? []), keyLabel(c)] });

const tell = (c: AppContext, rows: readonly JobRow[]): void => {
	for (const row of rows) c.header('Limner-Job', row.id, { append: true });
	for (const warning of new Set(rows.flatMap((row) => row.warnings))) warn(c, warning);
};

/** Runs a job for a waiting client. A job that was interrupted answers what was made before, as the web UI does. */
export const run = async (c: AppContext, body: Common, request: JobRequest, extra: object = {}): Promise<Response> => {
	const row = await startJob(c, { request: labelled(c, request), body, idempotencyKey: c.req.header('idempotency-key') });
	tell(c, [row]);
	return answer(
		c,
		async (signal) => answerOf(c, body, await waitForJob(c, row, { signal, keepCanceled: true }), extra),
		(thrown) => refuse(c, thrown),
	);
};

/** A seed that a repeat with the same idempotency key gets again. */
const seedFor = (key: string | undefined): number =>
	key === undefined ? (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) : Number.parseInt(sha256Hex(key).slice(0, 8), 16);

/** Follows both passes from the start, so that a caller who hangs up at any time leaves neither of them behind. */
const waitForBoth = async (c: AppContext, rows: readonly JobRow[], signal: AbortSignal): Promise<ImageRecord[]> => {
	const [first, ...passes] = rows.map((row) => waitForJob(c, row, { signal, keepCanceled: true }));
	const all = Promise.all(passes);
	// When the first pass fails, the others fail with it, and its own reason is the one to tell.
	all.catch(() => undefined);
	if (first === undefined || (await first).canceled) return [];
	return (await all).flatMap(({ images }) => images);
};

/** Runs a text job with a second pass at a larger size. */
export const runHires = async (c: AppContext, body: Txt2Img, model: KnownModel, request: JobRequest & Size): Promise<Response> => {
	const key = c.req.header('idempotency-key');
	const hires = hiresOf(body, model, labelled(c, request), request.seed ?? seedFor(key));
	if (hires.warning !== undefined) warn(c, hires.warning);
	const { rows } = await submitWorkflow(c, hires.workflow, key, Date.now());
	const [first] = rows;
	if (first === undefined) throw new Error('a workflow has no jobs');
	tell(c, rows);
	return answer(
		c,
		async (signal) => answerOf(c, body, { row: first, images: await waitForBoth(c, rows, signal), second: hires }, {}),
		(thrown) => refuse(c, thrown),
	);
};

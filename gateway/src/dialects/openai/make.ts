/**
 * Makes the pictures of an OpenAI request: as one answer, or as a stream of events.
 * @module
 */
import { ImageRecord, type BridgeFrame, type JobRequest } from '@limner/shared';
import { z } from 'zod';
import type { AppContext } from '../../lib/context.ts';
import { imageView } from '../../lib/views.ts';
import { viewContext } from '../../routes/jobs/service.ts';
import type { JobRow } from '../../rpc.ts';
import { answer } from '../lib/answer.ts';
import { faultOf, logFault } from '../lib/fault.ts';
import { warn } from '../lib/model.ts';
import { base64All, base64Of, bytesOf } from '../lib/pictures.ts';
import { startJob, waitForJob, type Done } from '../lib/run.ts';
import { sizeText, type Size } from '../lib/size.ts';
import { EVENT_STREAM_HEADERS, eventStream, type DialectEvent } from '../lib/sse.ts';
import { errorBody, errorResponse } from './errors.ts';
import { isPartialDue, usageOf } from './request.ts';
import type { ImagesResponse } from './schema.ts';

export interface Order {
	/** Prefix of the stream's events. */
	kind: 'image_generation' | 'image_edit';
	request: JobRequest;
	/** What is hashed for `Idempotency-Key`. */
	body: unknown;
	/** Sizes of input pictures, for the count of tokens. */
	inputs: Size[];
	format: 'url' | 'b64_json';
	stream: boolean;
	partials: number;
	quality: string;
	/** The fields that the answer repeats must be there even when the job has been changed. */
	startedAt: number;
}

const Preview = z.object({ step: z.int(), base64: z.string() });
const Progress = z.object({ steps: z.int() });
const MadeImage = z.object({ image: ImageRecord });

const seconds = (ms: number): number => Math.floor(ms / 1000);
const sizeOfRow = ({ spec }: JobRow): Size => ({ width: spec.width, height: spec.height });
const formatOf = (record: Pick<ImageRecord, 'contentType'> | undefined): ImagesResponse['output_format'] => {
	const format = record?.contentType.slice('image/'.length);
	return format === 'jpeg' || format === 'webp' ? format : 'png';
};

/** Headers of OpenAI's that clients and their logs look for. */
const openaiHeaders = (c: AppContext, order: Order): void => {
	c.header('openai-version', '2020-10-01');
	c.header('openai-processing-ms', String(Date.now() - order.startedAt));
};

const accept = async (c: AppContext, order: Order): Promise<JobRow> => {
	const row = await startJob(c, { request: order.request, body: order.body, idempotencyKey: c.req.header('idempotency-key') });
	c.header('Limner-Job', row.id);
	for (const warning of row.warnings) warn(c, warning);
	return row;
};

const whole = async (c: AppContext, order: Order, { row, images }: Done): Promise<ImagesResponse> => {
	const size = sizeOfRow(row);
	const context = viewContext(c, Date.now());
	const base64 = order.format === 'b64_json' ? await base64All(c, images) : [];
	return {
		created: seconds(row.createdAt),
		data: images.map((record, i) =>
			order.format === 'url' ? { url: imageView(context, row.ws, row.id, record).url } : { b64_json: base64[i] ?? '' },
		),
		background: 'opaque',
		output_format: formatOf(images[0]),
		size: sizeText(size),
		quality: order.quality,
		usage: usageOf(row.spec.prompt.length, order.inputs, size, images.length),
	};
};

/** The parts of a stream that turn the job's frames into OpenAI's events, in order. */
const eventsOf = (c: AppContext, order: Order, row: JobRow, emit: (event: DialectEvent) => void) => {
	const size = sizeOfRow(row);
	const base = { created_at: seconds(row.createdAt), size: sizeText(size), quality: order.quality, background: 'opaque' };
	let sent = 0;
	let steps = row.spec.steps;
	// Bytes are read while further frames come, and events must keep their order.
	let queue: Promise<void> = Promise.resolve();
	const completed = async (record: ImageRecord): Promise<void> => {
		const type = `${order.kind}.completed`;
		const b64 = base64Of(await bytesOf(c, record));
		const usage = usageOf(row.spec.prompt.length, order.inputs, size, 1);
		emit({ event: type, data: { type, b64_json: b64, ...base, output_format: formatOf(record), usage } });
	};
	const partial = (data: unknown): void => {
		const preview = Preview.safeParse(data);
		if (!preview.success || !isPartialDue(preview.data.step, steps, sent, order.partials)) return;
		const type = `${order.kind}.partial_image`;
		const index = { partial_image_index: sent };
		emit({ event: type, data: { type, b64_json: preview.data.base64, ...base, output_format: 'jpeg', ...index } });
		sent++;
	};
	const onFrame = (frame: BridgeFrame): void => {
		if (frame.event === 'progress') steps = Progress.safeParse(frame.data).data?.steps ?? steps;
		if (frame.event === 'preview') partial(frame.data);
		if (frame.event !== 'image') return;
		const made = MadeImage.safeParse(frame.data);
		if (made.success) queue = queue.then(() => completed(made.data.image));
	};
	return { onFrame, flushed: () => queue };
};

const streamed = async (c: AppContext, order: Order): Promise<Response> => {
	const row = await accept(c, order);
	const run = async (emit: (event: DialectEvent) => void, signal: AbortSignal): Promise<void> => {
		try {
			const events = eventsOf(c, order, row, emit);
			await waitForJob(c, row, { signal, onFrame: events.onFrame });
			await events.flushed();
		} catch (thrown) {
			const fault = faultOf(thrown, c.get('requestId'));
			logFault(c, thrown, fault);
			emit({ event: 'error', data: { type: 'error', ...errorBody(fault) } });
		}
	};
	const log = c.get('log');
	const onError = (error: unknown): void => log.error('an image stream broke', { jobId: row.id, error: String(error) });
	const { body, done } = eventStream({ run, signal: c.req.raw.signal, onError });
	c.executionCtx.waitUntil(done);
	openaiHeaders(c, order);
	return c.newResponse(body, 200, EVENT_STREAM_HEADERS);
};

/** A thrown thing as OpenAI's answer. */
export const refuse = (c: AppContext, thrown: unknown): Response => {
	const fault = faultOf(thrown, c.get('requestId'));
	logFault(c, thrown, fault);
	return errorResponse(fault);
};

/** Answers an order. */
export const make = async (c: AppContext, order: Order): Promise<Response> => {
	if (order.stream) return streamed(c, order);
	const row = await accept(c, order);
	return answer(
		c,
		async (signal) => {
			const body = await whole(c, order, await waitForJob(c, row, { signal }));
			openaiHeaders(c, order);
			return Response.json(body);
		},
		(thrown) => refuse(c, thrown),
	);
};

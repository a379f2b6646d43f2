/**
 * `generate_image`, `regenerate`, `get_generation`, `cancel_generation`.
 * @module
 */
import { isTerminal, MCP_LIMITS, parseImageId, type JobRequest, type JobView, type MCP_TOOLS, type McpGeneration } from '@limner/shared';
import type { CallToolResult } from '@modelcontextprotocol/server';
import type { z } from 'zod';
import { canonicalJson, sha256Hex } from '../../../lib/canonical.ts';
import { hasScope } from '../../../lib/auth.ts';
import { describeError } from '../../../lib/log.ts';
import { invalid, type ToolCall, type ToolHandler } from '../call.ts';
import { resolveInput } from '../inputs.ts';
import { findRepeat, idempotencyKeyOf, labelOf } from '../repeat.ts';
import { generationOf, generationResult } from '../result.ts';
import { smallPicture, type SmallPicture } from '../thumbnail.ts';
import { waitForJob } from '../wait.ts';

type Input<Name extends keyof typeof MCP_TOOLS> = z.output<(typeof MCP_TOOLS)[Name]['input']>;
type Fields = Omit<Input<'regenerate'>, 'id' | 'preview' | 'wait_seconds' | 'idempotency_key'>;

const path = (id: string): string => `/api/v1/jobs/${id}`;

/** The fields of both tools under the names of the API; what is left out stays out. Pure. */
export const requestOf = (fields: Fields): Partial<JobRequest> => {
	const { negative_prompt, guidance_scale, output_format, ...same } = fields;
	const renamed = { ...same, negativePrompt: negative_prompt, guidance: guidance_scale, outputFormat: output_format };
	return Object.fromEntries(Object.entries(renamed).filter(([, value]) => value !== undefined)) as Partial<JobRequest>;
};

/** A small copy of the only picture of a job. Its absence is no failure: the links are the result. */
const previewOf = async (call: ToolCall, one: McpGeneration, wish: 'auto' | 'none'): Promise<SmallPicture | undefined> => {
	const [image] = one.images;
	if (wish === 'none' || image === undefined || one.images.length > 1 || !hasScope(call.c.get('principal').scopes, 'images:read')) {
		return undefined;
	}
	try {
		const bytes = await call.api.bytes(`/api/v1/images/${image.image_id}`);
		const picture = { bytes, contentType: image.mime_type, width: image.width, height: image.height };
		return smallPicture(picture, MCP_LIMITS.viewDefaultPx, MCP_LIMITS.previewBytes);
	} catch (error) {
		call.c.get('log').warn('a result goes without its preview', { jobId: one.job_id, ...describeError(error) });
		return undefined;
	}
};

interface Answer {
	job: JobView;
	wait: number;
	preview: 'auto' | 'none';
	repeated?: boolean;
	/** Whether hanging up cancels the job: only the call that made it may. */
	owns: boolean;
}

/** A modern client that hangs up has cancelled its call, and nobody will fetch the picture. A legacy one may come back. */
const onHangUp = async (call: ToolCall, { job, owns }: Answer): Promise<void> => {
	if (call.era !== 'modern' || !owns) return;
	try {
		await call.api.json(`${path(job.id)}/cancel`, { method: 'POST' });
	} catch (error) {
		call.c.get('log').info('a job of a call that was given up could not be cancelled', { jobId: job.id, ...describeError(error) });
	}
};

const answer = async (call: ToolCall, given: Answer): Promise<CallToolResult> => {
	const progress = await waitForJob(call.c, given.job, { seconds: given.wait, signal: call.signal, tell: call.tell });
	if (call.signal.aborted) await onHangUp(call, given);
	const one = generationOf(await call.api.json<JobView>(path(given.job.id)), progress);
	const told = given.repeated === true ? { ...one, repeated: true } : one;
	return generationResult(told, await previewOf(call, told, given.preview));
};

/** Submits unless an equal call has just done so. */
const submitOnce = async (
	call: ToolCall,
	request: JobRequest,
	explicitKey: string | undefined,
): Promise<{ job: JobView; repeated: boolean }> => {
	const post = (json: JobRequest, key: string): Promise<JobView> =>
		call.api.json<JobView>('/api/v1/jobs', { json, headers: { 'idempotency-key': key } });
	if (explicitKey !== undefined) return { job: await post(request, explicitKey), repeated: false };
	const { ws, keyId } = call.c.get('principal');
	const label = labelOf(sha256Hex(canonicalJson({ ws, keyId, request })));
	const now = Date.now();
	const recent = await call.api.json<{ data: JobView[] }>(`/api/v1/jobs?limit=${MCP_LIMITS.recent}`);
	const repeat = findRepeat(recent.data, label, now);
	if (repeat.job !== undefined) return { job: repeat.job, repeated: true };
	const labelled = { ...request, labels: [label] };
	return { job: await post(labelled, idempotencyKeyOf(label, repeat.failures, now)), repeated: false };
};

type Options = Pick<Input<'generate_image'>, 'preview' | 'wait_seconds' | 'idempotency_key'>;

const generate = async (call: ToolCall, request: JobRequest, options: Options): Promise<CallToolResult> => {
	const { job, repeated } = await submitOnce(call, request, options.idempotency_key);
	return answer(call, { job, repeated, wait: options.wait_seconds, preview: options.preview, owns: !repeated });
};

export const generateImage: ToolHandler<Input<'generate_image'>> = async (input, call) => {
	const { image, mask, preview, wait_seconds, idempotency_key, ...fields } = input;
	if (mask !== undefined && image === undefined) throw invalid('mask needs image: the picture to change');
	const [initImage, maskImage] = await Promise.all([
		image === undefined ? undefined : resolveInput(call, image),
		mask === undefined ? undefined : resolveInput(call, mask),
	]);
	const request = {
		...requestOf(fields),
		prompt: fields.prompt,
		...(initImage === undefined ? {} : { initImage }),
		...(maskImage === undefined ? {} : { maskImage }),
	};
	return generate(call, request, { preview, wait_seconds, idempotency_key });
};

/** Fields of a stored request that a new one may repeat. The seed is left out: it would make the same picture again. */
export const REPEATED = [
	'prompt',
	'negativePrompt',
	'model',
	'task',
	'width',
	'height',
	'steps',
	'guidance',
	'scheduler',
	'strength',
	'eta',
	'guidanceRescale',
	'initImage',
	'maskImage',
	'pasteBack',
	'maskCropPadding',
	'maskFeather',
	'maskInvert',
	'maskFill',
	'promptMode',
	'originalSize',
	'cropTopLeft',
	'targetSize',
	'useT5',
	'outputFormat',
	'outputQuality',
] as const;

/**
 * The request for "the same but …". Another model brings its own size, steps, guidance and scheduler. Pure.
 * @param fresh seed for when none is given
 */
export const regenerateRequest = (old: JobView['request'], changes: Partial<JobRequest>, fresh: number): JobRequest => {
	const own: ReadonlySet<string> = new Set(['width', 'height', 'steps', 'guidance', 'scheduler']);
	const otherModel = changes.model !== undefined && changes.model !== old.model;
	const kept = REPEATED.filter((field) => old[field] !== undefined && old[field] !== null && !(otherModel && own.has(field)));
	const repeated = Object.fromEntries(kept.map((field) => [field, old[field]])) as unknown as JobRequest;
	return { ...repeated, seed: fresh, ...changes };
};

export const regenerate: ToolHandler<Input<'regenerate'>> = async (input, call) => {
	const { id, preview, wait_seconds, idempotency_key, ...fields } = input;
	const image = parseImageId(id);
	const old = await call.api.json<JobView>(path(encodeURIComponent(image?.jobId ?? id)));
	const [fresh = 0] = crypto.getRandomValues(new Uint32Array(1));
	const request = regenerateRequest(old.request, requestOf(fields), fresh);
	return generate(call, request, { preview, wait_seconds, idempotency_key });
};

export const getGeneration: ToolHandler<Input<'get_generation'>> = async ({ job_id, wait_seconds, preview }, call) => {
	const job = await call.api.json<JobView>(path(job_id));
	return answer(call, { job, wait: wait_seconds, preview, owns: false });
};

export const cancelGeneration: ToolHandler<Input<'cancel_generation'>> = async ({ job_id }, call) => {
	const job = await call.api.json<JobView>(path(job_id));
	const after = isTerminal('job', job.state) ? job : await call.api.json<JobView>(`${path(job_id)}/cancel`, { method: 'POST' });
	return generationResult(generationOf(after));
};

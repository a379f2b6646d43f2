/**
 * A job as a tool result: text that stands alone, links, structured content, and a small picture. Pure.
 * @module
 */
import { isTerminal, type ImageView, type JobView, type McpGeneration } from '@limner/shared';
import type { CallToolResult, ContentBlock } from '@modelcontextprotocol/server';
import type { JobProgress } from './progress.ts';
import type { SmallPicture } from './thumbnail.ts';

/** Seconds after which asking again makes sense. */
const POLL_AFTER_S = 5;

export const imageUri = (id: string): string => `limner://images/${id}`;
export const jobUri = (id: string): string => `limner://jobs/${id}`;

const pictureOf = (image: ImageView): McpGeneration['images'][number] => ({
	image_id: image.id,
	url: image.url,
	mime_type: image.contentType,
	width: image.width,
	height: image.height,
	bytes: image.bytes,
	seed: image.seed,
	sha256: image.sha256,
	expires_at: image.expiresAt,
});

const queueOf = (job: JobView): Partial<McpGeneration> => {
	const { position, etaMs, reason } = job.queue ?? {};
	return {
		...(position === undefined ? {} : { queue_position: position }),
		...(etaMs === undefined ? {} : { eta_seconds: Math.ceil(etaMs.high / 1000) }),
		...(reason === undefined ? {} : { reason }),
	};
};

/** Progress of a job that was not followed, from the steps that its tasks have made. */
const progressOf = (job: JobView): number => {
	if (isTerminal('job', job.state)) return 100;
	const { n } = job.request;
	const done = (job.tasks ?? []).reduce(
		(sum, task) => sum + (task.state === 'succeeded' ? 1 : (task.step ?? 0) / (task.steps ?? Infinity)),
		0,
	);
	return Math.min(99, Math.round((100 * done) / Math.max(1, n)));
};

/** A job in the words of the tools. */
export const generationOf = (job: JobView, progress?: JobProgress): McpGeneration => {
	const { request } = job;
	const open = !isTerminal('job', job.state);
	return {
		job_id: job.id,
		status: job.state,
		progress: open && progress !== undefined ? Math.min(99, progress.value) : progressOf(job),
		...(open ? { ...queueOf(job), poll_after_seconds: POLL_AFTER_S } : {}),
		model: request.model,
		prompt: request.prompt,
		params: {
			task: request.task,
			width: request.width,
			height: request.height,
			steps: request.steps,
			guidance_scale: request.guidance,
			scheduler: request.scheduler,
			seed: request.seed,
			n: request.n,
			...(request.negativePrompt === null ? {} : { negative_prompt: request.negativePrompt }),
			...(request.strength === undefined ? {} : { strength: request.strength }),
		},
		images: job.images.map(pictureOf),
		warnings: job.warnings,
		...(job.error === undefined ? {} : { error: { code: job.error.class, message: job.error.message } }),
	};
};

const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`;

const headline = (one: McpGeneration): string => {
	const what = `job ${one.job_id}, model ${one.model}, ${one.params.width}×${one.params.height}, ${plural(one.params.steps, 'step')}`;
	if (one.status === 'succeeded') return `Made ${plural(one.images.length, 'picture')} (${what}).`;
	if (one.poll_after_seconds !== undefined) {
		const place = one.queue_position === undefined ? '' : `, position ${one.queue_position} in the queue`;
		const why = one.reason === undefined ? '' : ` It waits: ${one.reason}.`;
		return `Not finished yet: ${one.status}, ${Math.round(one.progress)} %${place} (${what}).${why} Call get_generation with job_id "${one.job_id}" and wait_seconds 45; do not submit it again.`;
	}
	return `The job ${one.status}${one.error === undefined ? '' : `: ${one.error.message}`} (${what}).`;
};

const pictureLine = (image: McpGeneration['images'][number]): string =>
	`- ${image.image_id} (${image.width}×${image.height}, seed ${image.seed}): ${image.url}`;

/** The text block: a client that reads nothing else has all it needs. */
export const textOf = (one: McpGeneration): string =>
	[
		headline(one),
		...(one.repeated === true
			? ['An equal call came a moment ago, and this is its job. For another picture give another seed, or use regenerate.']
			: []),
		...one.images.map(pictureLine),
		...(one.images.length === 0 ? [] : ['Give the user the links; each works without a key until its expires_at.']),
		...one.warnings.map((warning) => `Note: ${warning}.`),
	].join('\n');

const base64 = (bytes: Uint8Array): string => {
	let binary = '';
	// In pieces: a call takes only so many arguments.
	for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
	return btoa(binary);
};

/** Bytes as the base64 that results and resources carry. */
export const toBase64 = base64;

/** An image block; hosts show it, models look at it. */
export const imageBlock = (picture: SmallPicture): ContentBlock => ({
	type: 'image',
	data: base64(picture.bytes),
	mimeType: picture.contentType,
	annotations: { audience: ['user', 'assistant'], priority: 0.8 },
});

const linkOf = (image: McpGeneration['images'][number]): ContentBlock => ({
	type: 'resource_link',
	uri: image.url,
	name: image.image_id,
	title: `${image.width}×${image.height}, seed ${image.seed}`,
	mimeType: image.mime_type,
	size: image.bytes,
	annotations: { audience: ['user'], priority: 1 },
});

/** The whole result of a tool that answers a job. A job that failed is an error result, with all that is known of it. */
export const generationResult = (one: McpGeneration, preview?: SmallPicture): CallToolResult => ({
	content: [{ type: 'text', text: textOf(one) }, ...one.images.map(linkOf), ...(preview === undefined ? [] : [imageBlock(preview)])],
	structuredContent: { ...one },
	...(one.status === 'failed' || one.status === 'expired' ? { isError: true } : {}),
});

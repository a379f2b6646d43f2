/**
 * Making pictures.
 * @module
 */
import type { Assets, PictureBytes } from './assets.ts';
import { JobFailedError } from './errors.ts';
import type { JobEvent } from './events.ts';
import type { CallOptions } from './http.ts';
import type { Jobs } from './jobs.ts';
import { initialProgress, reduceProgress, type Progress } from './progress.ts';
import type { Job, JobImage, JobRequest } from './types.ts';

/** An input picture: uploaded before, made by a job, or bytes that are uploaded now. */
export type InputPicture = NonNullable<JobRequest['initImage']> | PictureBytes;

/** What to make: the body of `POST /api/v1/jobs`, with pictures also as bytes. */
export type GenerateRequest = Omit<JobRequest, 'initImage' | 'maskImage'> & { initImage?: InputPicture; maskImage?: InputPicture };

/** A small picture of what is being made. */
export interface Preview {
	/** Picture of the job, counted from 0. */
	index: number;
	step: number;
	contentType: string;
	bytes: Uint8Array<ArrayBuffer>;
	/** For `<img src>`. */
	dataUrl: string;
}

export interface GenerateOptions extends CallOptions {
	/** Called at each change; the first time when the job is accepted. */
	onProgress?: (progress: Progress, job: Job) => void;
	onPreview?: (preview: Preview, job: Job) => void;
	/** A picture is there, while others of the job may still be in the making. */
	onImage?: (image: JobImage, job: Job) => void;
	/** Every event as it comes. */
	onEvent?: (event: JobEvent) => void;
	idempotencyKey?: string;
	/** What an abort of `signal` does to the job at the gateway; default `cancel`. */
	onAbort?: 'cancel' | 'leave';
}

export interface Generation {
	job: Job;
	images: JobImage[];
}

const isBytes = (picture: InputPicture): picture is PictureBytes =>
	picture instanceof Blob || picture instanceof Uint8Array || picture instanceof ArrayBuffer;

const previewOf = ({ data }: JobEvent): Preview => {
	const { base64 = '', contentType = 'image/jpeg' } = data as { base64?: string; contentType?: string };
	return {
		index: Number(data['index'] ?? 0),
		step: Number(data['step'] ?? 0),
		contentType,
		bytes: Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)),
		dataUrl: `data:${contentType};base64,${base64}`,
	};
};

/** Longest wait for the gateway to take a cancel, in milliseconds. */
const CANCEL_TIMEOUT_MS = 10_000;

export class Images {
	readonly #jobs: Jobs;
	readonly #assets: Assets;
	constructor(jobs: Jobs, assets: Assets) {
		this.#jobs = jobs;
		this.#assets = assets;
	}

	async #input(picture: InputPicture | undefined, options: CallOptions): Promise<NonNullable<JobRequest['initImage']> | undefined> {
		if (picture === undefined || !isBytes(picture)) return picture;
		const { id } = await this.#assets.upload(picture, options);
		return { asset: id };
	}

	async #request(request: GenerateRequest, options: CallOptions): Promise<JobRequest> {
		const { initImage, maskImage, ...rest } = request;
		const [init, mask] = await Promise.all([this.#input(initImage, options), this.#input(maskImage, options)]);
		return { ...rest, ...(init === undefined ? {} : { initImage: init }), ...(mask === undefined ? {} : { maskImage: mask }) };
	}

	/**
	 * Makes pictures, and waits for them.
	 * @returns the finished job and its pictures, in order
	 * @throws {JobFailedError} when the job does not succeed; the pictures that were made are in `error.job.images`
	 * @throws {ApiError} when the gateway refuses the request
	 * @throws the signal's reason when it fires; the job is cancelled then, unless `onAbort` is `leave`
	 */
	async generate(request: GenerateRequest, options: GenerateOptions = {}): Promise<Generation> {
		const { signal, idempotencyKey } = options;
		const body = await this.#request(request, { signal });
		const job = await this.#jobs.submit(body, { signal, ...(idempotencyKey === undefined ? {} : { idempotencyKey }) });
		return this.follow(job, options);
	}

	/** Waits for a job that was submitted before, e.g. by a page that was reloaded since. Like `generate` otherwise. */
	async follow(job: Job | string, options: GenerateOptions = {}): Promise<Generation> {
		const { signal } = options;
		const accepted = typeof job === 'string' ? await this.#jobs.get(job, { signal }) : job;
		try {
			const ended = await this.#jobs.wait(accepted.id, { signal, onEvent: this.#listener(accepted, options) });
			if (ended.state !== 'succeeded') throw new JobFailedError(ended);
			return { job: ended, images: ended.images };
		} catch (error) {
			if (signal?.aborted === true && options.onAbort !== 'leave') {
				// Best effort: it may have ended by itself, and the caller is told of the abort either way.
				await this.#jobs.cancel(accepted.id, { signal: AbortSignal.timeout(CANCEL_TIMEOUT_MS) }).catch(() => undefined);
			}
			throw error;
		}
	}

	#listener(job: Job, options: GenerateOptions): (event: JobEvent) => void {
		let progress = initialProgress(job.request.n);
		options.onProgress?.(progress, job);
		return (event) => {
			options.onEvent?.(event);
			if (event.event === 'preview') options.onPreview?.(previewOf(event), job);
			const image = event.event === 'image' ? event.data['image'] : undefined;
			if (image !== undefined && image !== null) options.onImage?.(image as JobImage, job);
			const next = reduceProgress(progress, event);
			if (next === progress) return;
			progress = next;
			options.onProgress?.(progress, job);
		};
	}
}

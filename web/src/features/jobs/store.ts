/**
 * Every job that the studio watches: its own, those that ran before the page was reloaded, and those of other clients.
 * @module
 */
import { isTerminal, JobFailedError, type GenerateRequest, type Job } from '@limner/sdk';
import { client, onFailure } from '../../lib/session.ts';
import { createValue, useValue } from '../../lib/value.ts';
import { isOpen, missing, put, takeIn, trimmed, withImage, withJob, withPreview, withProgress, type Entry } from './entry.ts';

/** Event streams at a time: a browser opens six connections to a host, and pictures and calls need some of them. */
const MAX_STREAMS = 3;
const KEPT = 60;
/** Open jobs that the studio looks at; the gateway's own limit of a workspace is lower unless somebody raised it. */
const MAX_OPEN = 200;

const entries = createValue<readonly Entry[]>([]);
const streams = new Map<string, AbortController>();
const submissions = new Map<string, AbortController>();
/** Called when a job has ended, for lists that show pictures. */
const listeners = new Set<() => void>();

export const useEntries = (): readonly Entry[] => useValue(entries);
export const onSettled = (listener: () => void): (() => void) => {
	listeners.add(listener);
	return () => listeners.delete(listener);
};

const find = (key: string): Entry | undefined => entries.get().find((entry) => entry.key === key);
const store = (entry: Entry): void => entries.set(trimmed(put(entries.get(), entry), KEPT));
const change = (key: string, how: (entry: Entry) => Entry): void => {
	const entry = find(key);
	if (entry !== undefined) store(how(entry));
};

const settled = (job: Job): void => {
	store(withJob(find(job.id), job));
	for (const listener of listeners) listener();
};

/** Watches a job until it ends; does nothing when it is watched already or enough others are. */
const follow = (job: Job): void => {
	if (isTerminal(job.state) || streams.has(job.id) || streams.size >= MAX_STREAMS) return;
	const own = new AbortController();
	streams.set(job.id, own);
	const leave = (): void => {
		streams.delete(job.id);
		followWaiting();
	};
	client.images
		.follow(job, {
			signal: own.signal,
			onAbort: 'leave',
			onProgress: (progress) => change(job.id, (entry) => withProgress(entry, progress)),
			onPreview: (preview) => change(job.id, (entry) => withPreview(entry, preview)),
			onImage: (image) => change(job.id, (entry) => withImage(entry, image)),
			onEvent: ({ data }) => {
				const { nodeId } = data as { nodeId?: string };
				if (nodeId !== undefined) change(job.id, (entry) => ({ ...entry, nodeId }));
			},
		})
		.then(({ job: ended }) => settled(ended))
		.catch((error: unknown) => {
			if (error instanceof JobFailedError) settled(error.job);
			else onFailure(error);
		})
		.finally(leave);
};

const followWaiting = (): void => {
	for (const entry of entries.get().toReversed()) if (entry.job !== undefined && isOpen(entry)) follow(entry.job);
};

let localIds = 0;

/** Submits, shows it at once, and follows it. A refusal becomes the entry's error. */
export const submit = async (request: GenerateRequest, size: { width: number; height: number }): Promise<void> => {
	const key = `local-${++localIds}`;
	const own = new AbortController();
	submissions.set(key, own);
	store({ key, request, n: request.n ?? 1, ...size, status: 'submitting', previews: {}, images: [], at: Date.now() });
	try {
		const { initImage, maskImage, ...rest } = request;
		const upload = async (picture: typeof initImage): Promise<Exclude<typeof picture, Blob | Uint8Array | ArrayBuffer> | undefined> =>
			picture instanceof Blob || picture instanceof Uint8Array || picture instanceof ArrayBuffer
				? { asset: (await client.assets.upload(picture, { signal: own.signal })).id }
				: picture;
		const [init, mask] = await Promise.all([upload(initImage), upload(maskImage)]);
		const body = { ...rest, ...(init === undefined ? {} : { initImage: init }), ...(mask === undefined ? {} : { maskImage: mask }) };
		const job = await client.jobs.submit(body, { signal: own.signal });
		entries.set(entries.get().filter((entry) => entry.key !== key));
		store(withJob(undefined, job));
		follow(job);
	} catch (error) {
		onFailure(error);
		if (own.signal.aborted) change(key, (entry) => ({ ...entry, status: 'canceled' }));
		else change(key, (entry) => ({ ...entry, status: 'failed', error: error instanceof Error ? error.message : String(error) }));
	} finally {
		submissions.delete(key);
	}
};

/** Stops a job, at the gateway too. */
export const cancel = async (key: string): Promise<void> => {
	submissions.get(key)?.abort();
	if (find(key)?.job === undefined) return;
	try {
		settled(await client.jobs.cancel(key));
	} catch (error) {
		onFailure(error);
		// It ended by itself in the same moment: show what became of it.
		settled(await client.jobs.get(key));
	}
};

export const dismiss = (key: string): void => entries.set(entries.get().filter((entry) => entry.key !== key));

/** Tries again what failed or was canceled: a job as a new job of the gateway, a refused request as it was. */
export const retry = async (entry: Entry): Promise<void> => {
	dismiss(entry.key);
	if (entry.job === undefined) return submit(entry.request, entry);
	try {
		const job = await client.jobs.retry(entry.job.id);
		store(withJob(undefined, job));
		follow(job);
	} catch (error) {
		store(entry);
		throw error;
	}
};

/** Takes in the gateway's list of open jobs, so that other people's and earlier ones are here too; answers it. */
export const refresh = async (signal?: AbortSignal): Promise<Job[]> => {
	const { data: open } = await client.jobs.list({ state: 'open', limit: MAX_OPEN }, { signal });
	// What a stream tells is newer than any list.
	const unwatched = open.filter(({ id }) => !streams.has(id));
	entries.set(trimmed(takeIn(entries.get(), unwatched), KEPT));
	for (const job of unwatched) follow(job);
	// Ended while no stream was open for them.
	for (const key of missing(entries.get(), open)) if (!streams.has(key)) settled(await client.jobs.get(key, { signal }));
	return open;
};

/** For signing out: nothing of one person stays for the next. */
export const forget = (): void => {
	for (const stream of streams.values()) stream.abort();
	entries.set([]);
};

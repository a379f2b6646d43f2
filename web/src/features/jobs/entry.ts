/**
 * What the studio knows of a job that it watches. Pure.
 * @module
 */
import { isTerminal, type GenerateRequest, type Job, type JobImage, type Preview, type Progress } from '@limner/sdk';
import { t } from '../../strings.ts';

export type EntryStatus = 'submitting' | 'waiting' | 'running' | 'succeeded' | 'failed' | 'canceled';

export interface Entry {
	/** The job's id once the gateway has given one, before that a local one. */
	key: string;
	request: Partial<GenerateRequest> & { prompt: string };
	/** Pictures asked for. */
	n: number;
	width: number;
	height: number;
	status: EntryStatus;
	job?: Job;
	progress?: Progress;
	/** Latest preview of each picture, as a data URL. */
	previews: Readonly<Record<number, string>>;
	images: readonly JobImage[];
	error?: string;
	/** Where it runs, as far as it is known. */
	nodeId?: string;
	at: number;
}

const statusOf = (job: Job): EntryStatus => {
	if (job.state === 'succeeded' || job.state === 'failed' || job.state === 'canceled') return job.state;
	if (job.state === 'expired') return 'failed';
	return job.state === 'running' ? 'running' : 'waiting';
};

const errorOf = (job: Job): Pick<Entry, 'error'> => {
	const error = job.error?.message ?? (job.state === 'expired' ? t.job.expired : undefined);
	return error === undefined ? {} : { error };
};

const fresh = (job: Job): Entry => ({
	key: job.id,
	request: asRequest(job),
	n: job.request.n,
	width: job.request.width,
	height: job.request.height,
	status: statusOf(job),
	previews: {},
	images: [],
	at: new Date(job.createdAt).getTime(),
});

/** A job as it is read from the gateway; what was watched of it before stays. */
export const withJob = (entry: Entry | undefined, job: Job): Entry => {
	const before = entry ?? fresh(job);
	// A list that is older than the event stream must not take pictures away again.
	const images = job.images.length >= before.images.length ? job.images : before.images;
	return { ...before, status: statusOf(job), job, images, ...errorOf(job) };
};

/** The request that would make the same pictures again: what the gateway settled on, seed included. */
export const asRequest = (job: Job): Entry['request'] => {
	const { prompt, negativePrompt, model, task, width, height, steps, guidance, scheduler, seed, n, strength, initImage, maskImage } =
		job.request;
	return {
		prompt,
		negativePrompt,
		model,
		task,
		width,
		height,
		steps,
		guidance,
		scheduler,
		seed,
		n,
		...(strength === undefined ? {} : { strength }),
		...(initImage === undefined ? {} : { initImage }),
		...(maskImage === undefined ? {} : { maskImage }),
	};
};

export const withProgress = (entry: Entry, progress: Progress): Entry => ({
	...entry,
	progress,
	// The last event's phase is the job's final state; the job itself is read right after it.
	status: ['queued', 'waiting'].includes(progress.phase)
		? 'waiting'
		: entry.status === 'waiting' || entry.status === 'submitting'
			? 'running'
			: entry.status,
});

export const withPreview = (entry: Entry, preview: Preview): Entry => ({
	...entry,
	previews: { ...entry.previews, [preview.index]: preview.dataUrl },
});

export const withImage = (entry: Entry, image: JobImage): Entry => ({
	...entry,
	images: [...entry.images.filter(({ id }) => id !== image.id), image].toSorted((a, b) => a.index - b.index),
});

export const isOpen = (entry: Entry): boolean => entry.status === 'submitting' || entry.status === 'waiting' || entry.status === 'running';

/** Entries with `next` in the place of the one of its key, or in front; newest first. */
export const put = (entries: readonly Entry[], next: Entry): readonly Entry[] =>
	entries.some(({ key }) => key === next.key)
		? entries.map((entry) => (entry.key === next.key ? next : entry))
		: [next, ...entries].toSorted((a, b) => b.at - a.at);

const sameJob = (one: Job | undefined, two: Job): boolean => JSON.stringify(one) === JSON.stringify(two);

/** Entries with what a fresh list says of some jobs; the same array when that is nothing new, so that no page is drawn for it. */
export const takeIn = (entries: readonly Entry[], jobs: readonly Job[]): readonly Entry[] =>
	jobs.reduce((now, job) => {
		const had = now.find(({ key }) => key === job.id);
		return sameJob(had?.job, job) ? now : put(now, withJob(had, job));
	}, entries);

/** The newest `kept`, and everything open. */
export const trimmed = (entries: readonly Entry[], kept: number): readonly Entry[] =>
	entries.length <= kept ? entries : entries.filter((entry, i) => i < kept || isOpen(entry));

/** Entries after a fresh list of the gateway's open jobs: new ones come in, ended ones that nobody watches are named. */
export const missing = (entries: readonly Entry[], open: readonly Job[]): string[] => {
	const ids = new Set(open.map(({ id }) => id));
	return entries.filter((entry) => entry.job !== undefined && !isTerminal(entry.job.state) && !ids.has(entry.key)).map(({ key }) => key);
};

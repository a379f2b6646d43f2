/**
 * Progress of a key's jobs as A1111's clients poll it. Nothing is kept between polls: the newest open job of the same key
 * is looked up each time, so that nobody sees another's progress.
 * @module
 */
import { isTerminal, TERMINAL_EVENTS, type BridgeFrame, type JobState } from '@limner/shared';
import { z } from 'zod';
import { followJob } from '../../lib/bridge.ts';
import type { AppContext } from '../../lib/context.ts';
import { idempotent, workspaceOf } from '../../lib/stubs.ts';
import { liveOf } from '../../routes/jobs/service.ts';
import { rowsOf } from '../../routes/workflows/service.ts';
import type { JobRow, LiveJob } from '../../rpc.ts';
import { timestamp } from './info.ts';
import type { Progress, TaskProgress } from './schema.ts';

const LOOK_BACK = 50;
/** A poll waits at most this long for the next preview, which comes four times a second while somebody watches. */
const PREVIEW_WAIT_MS = 600;

const workspace = (c: AppContext) => () => workspaceOf(c.env, c.get('principal').ws);

/** Marks the jobs of a key, because an open row does not tell who submitted it. */
export const keyLabel = (c: AppContext): string => `key:${c.get('principal').keyId}`;

/** Jobs of this key that came through this dialect, newest first. `open` = only those that have not ended. */
export const jobsOfKey = async (c: AppContext, open: boolean): Promise<JobRow[]> => {
	const query = { limit: LOOK_BACK, ...(open ? { state: 'queued' as JobState } : {}) };
	const { data } = await idempotent(workspace(c), (stub) => stub.listJobs(query));
	const key = keyLabel(c);
	return data.filter((row) => row.spec.labels?.includes('a1111') === true && row.spec.labels.includes(key));
};

/** The job of a `force_task_id`. */
export const jobOfTask = async (c: AppContext, taskId: string): Promise<JobRow | undefined> =>
	(await jobsOfKey(c, false)).find((row) => row.spec.labels?.includes(`task:${taskId}`) === true);

export interface Counted {
	/** 0..1 */
	progress: number;
	/** Seconds that are left. */
	eta: number;
	step: number;
	steps: number;
	/** Pictures that are finished. */
	made: number;
	running: boolean;
}

/** How far a job is: pictures that are made, and steps of those that are on their way. Pure. */
export const countProgress = (
	row: Pick<JobRow, 'spec'>,
	live: Pick<LiveJob, 'tasks' | 'startedAt'> | undefined,
	nowMs: number,
): Counted => {
	const { n, steps } = row.spec;
	const tasks = live?.tasks ?? [];
	const made = tasks.filter((task) => task.state === 'succeeded').length;
	const running = tasks.filter((task) => task.state === 'leased');
	const partOf = (step = 0, of = steps): number => (of > 0 ? step / of : 0);
	const done = made + running.reduce((sum, task) => sum + partOf(task.step, task.steps), 0);
	const first = running[0];
	const progress = Math.min(1, running.length + made === 0 ? 0 : 0.01 + done / n);
	const elapsed = live?.startedAt === undefined ? 0 : (nowMs - live.startedAt) / 1000;
	const eta = progress > 0.01 ? Math.max(0, elapsed / progress - elapsed) : 0;
	return { progress, eta, step: first?.step ?? 0, steps: first?.steps ?? steps, made, running: running.length > 0 };
};

export interface Part {
	row: Pick<JobRow, 'spec' | 'state' | 'images'>;
	live: Pick<LiveJob, 'tasks' | 'startedAt' | 'state'> | undefined;
}

/** Progress of jobs that are one thing to the client, such as the two passes of `enable_hr`: by the steps of each. Pure. */
export const countParts = (parts: readonly Part[], nowMs: number): Counted & { jobs: number } => {
	const counted = parts.map(({ row, live }) => {
		const weight = row.spec.n * row.spec.steps * (row.spec.strength ?? 1);
		if (live === undefined && isTerminal('job', row.state)) {
			return { weight, progress: 1, eta: 0, step: 0, steps: row.spec.steps, made: row.images.length, running: false };
		}
		return { weight, ...countProgress(row, live, nowMs) };
	});
	const weight = counted.reduce((sum, part) => sum + part.weight, 0);
	const progress = Math.min(1, counted.reduce((sum, part) => sum + part.weight * part.progress, 0) / Math.max(weight, 1));
	const active = counted.find(({ running }) => running);
	const startedAt = Math.min(...parts.map(({ live }) => live?.startedAt ?? nowMs));
	const elapsed = (nowMs - startedAt) / 1000;
	return {
		progress,
		eta: parts.length === 1 ? (counted[0]?.eta ?? 0) : progress > 0.01 ? Math.max(0, elapsed / progress - elapsed) : 0,
		step: active?.step ?? 0,
		steps: active?.steps ?? counted[0]?.steps ?? 0,
		made: counted.reduce((sum, part) => sum + part.made, 0),
		running: active !== undefined,
		jobs: parts.reduce((sum, { row }) => sum + row.spec.n, 0),
	};
};

const Preview = z.object({ base64: z.string(), step: z.int() });

/** The next preview of a running job, or nothing when none comes in time. */
export const nextPreview = async (c: AppContext, row: JobRow): Promise<z.infer<typeof Preview> | undefined> => {
	const enough = new AbortController();
	let preview: z.infer<typeof Preview> | undefined;
	const onFrame = (frame: BridgeFrame): void => {
		if (frame.event === 'preview') preview = Preview.safeParse(frame.data).data;
		if (preview !== undefined || TERMINAL_EVENTS.has(frame.event)) enough.abort();
	};
	const signal = AbortSignal.any([enough.signal, AbortSignal.timeout(PREVIEW_WAIT_MS), c.req.raw.signal]);
	await followJob({
		env: c.env,
		ws: row.ws,
		jobId: row.id,
		after: 0,
		signal,
		row: () => idempotent(workspace(c), (stub) => stub.getJob(row.id)),
		onFrame,
	});
	return preview;
};

const IDLE: Progress = {
	progress: 0,
	eta_relative: 0,
	state: {
		skipped: false,
		interrupted: false,
		stopping_generation: false,
		job: '',
		job_count: 0,
		job_timestamp: '0',
		job_no: 0,
		sampling_step: 0,
		sampling_steps: 0,
	},
	current_image: null,
	textinfo: null,
	current_task: null,
};

/** What the client called the task, else the job's id. */
export const taskName = (row: JobRow): string =>
	row.spec.labels?.find((label) => label.startsWith('task:'))?.slice('task:'.length) ?? row.id;

interface Work {
	/** The job that runs, else the first one that waits. */
	row: JobRow;
	live: LiveJob | undefined;
	counted: Counted & { jobs: number };
	/** Every job of it has ended. */
	over: boolean;
}

/** A job with what belongs to it, as it is now. */
const workOf = async (c: AppContext, row: JobRow): Promise<Work> => {
	const rows = row.spec.workflow === undefined ? [row] : await rowsOf(c, row.spec.workflow.id);
	const parts = await Promise.all(rows.map(async (each) => ({ row: each, live: await liveOf(c, each) })));
	const open = parts.filter((part) => !isTerminal('job', part.live?.state ?? part.row.state));
	const current = open.find(({ live }) => live?.state === 'running') ?? open[0] ?? { row, live: undefined };
	return { ...current, counted: countParts(parts, Date.now()), over: open.length === 0 };
};

/** The web UI works on one thing at a time: what runs is shown before what waits. */
const currentWork = async (c: AppContext): Promise<Work | undefined> => {
	const open = await jobsOfKey(c, true);
	const views = await Promise.all(open.map(async (row) => ({ row, live: await liveOf(c, row) })));
	const waiting = views.filter(({ row, live }) => !isTerminal('job', live?.state ?? row.state));
	const current = waiting.find(({ live }) => live?.state === 'running') ?? waiting[0];
	return current === undefined ? undefined : workOf(c, current.row);
};

const stateOf = (row: JobRow, counted: Work['counted']): Progress['state'] => ({
	...IDLE.state,
	job: row.spec.task === 'txt2img' || row.spec.workflow !== undefined ? 'scripts_txt2img' : 'scripts_img2img',
	job_count: counted.jobs,
	job_timestamp: timestamp(row.createdAt),
	job_no: counted.made,
	sampling_step: counted.step,
	sampling_steps: counted.steps,
});

/** `GET /sdapi/v1/progress`. */
export const progressOf = async (c: AppContext, withImage: boolean): Promise<Progress> => {
	const current = await currentWork(c);
	if (current === undefined || current.over) return IDLE;
	const { row, live, counted } = current;
	const preview = withImage && counted.running ? await nextPreview(c, row) : undefined;
	return {
		progress: counted.progress,
		eta_relative: counted.eta,
		state: stateOf(row, counted),
		current_image: preview?.base64 ?? null,
		textinfo: counted.running ? null : (live?.queue?.reason ?? 'In queue'),
		current_task: taskName(row),
	};
};

type TaskView = z.infer<typeof TaskProgress>;

const UNKNOWN_TASK: TaskView = {
	active: false,
	queued: false,
	paused: false,
	completed: false,
	progress: null,
	eta: null,
	live_preview: null,
	id_live_preview: -1,
	textinfo: 'Waiting...',
};

/**
 * `POST /internal/progress`.
 * @param seen number of the preview that the client has already
 */
export const taskProgressOf = async (c: AppContext, task: string, seen: number, withImage: boolean): Promise<TaskView> => {
	const found = await jobOfTask(c, task);
	if (found === undefined) return UNKNOWN_TASK;
	const { row, counted, over } = await workOf(c, found);
	if (over) return { ...UNKNOWN_TASK, completed: true, id_live_preview: seen };
	if (!counted.running) return { ...UNKNOWN_TASK, queued: true, id_live_preview: seen, textinfo: 'In queue' };
	const preview = withImage ? await nextPreview(c, row) : undefined;
	const fresh = preview === undefined || preview.step === seen ? undefined : preview;
	return {
		...UNKNOWN_TASK,
		active: true,
		progress: counted.progress,
		eta: counted.eta,
		live_preview: fresh === undefined ? null : `data:image/jpeg;base64,${fresh.base64}`,
		id_live_preview: fresh?.step ?? seen,
		textinfo: null,
	};
};

/**
 * Jobs that wait for other jobs: who waits for whom, what is handed over, and what happens when it does not come.
 * @module
 */
import { isTerminal, type Handoff, type JobState } from '@limner/shared';
import type { PoolJob } from '../rpc.ts';
import { endJob } from './ending.ts';
import { endTask } from './grants.ts';
import { imagesOf, moveJob, record } from './history.ts';
import type { Ctx, Dependency, Job, PoolState } from './model.ts';
import { enqueueTask } from './queue.ts';

type Known = { state: JobState; images: { index: number; key: string }[] };

/** Lists a job under those that it depends on, so that their end finds it. */
export const indexDependents = (state: PoolState, job: Job): void => {
	for (const { id } of job.deps) {
		const listed = state.dependents.get(id);
		if (listed === undefined) state.dependents.set(id, new Set([job.id]));
		else listed.add(job.id);
	}
};

/** The job leaves memory. */
export const forgetDependents = (state: PoolState, job: Job): void => {
	for (const { id } of job.deps) {
		const listed = state.dependents.get(id);
		if (listed?.delete(job.id) === true && listed.size === 0) state.dependents.delete(id);
	}
};

/**
 * What is known of a dependency. The shard knows best; what it has forgotten was settled, and then the Workspace knew it
 * before it handed this job over: rows outlive every hand-over that may still be on its way.
 */
const stateOf = (state: PoolState, id: string, told: PoolJob['deps']): Known | undefined => {
	const live = state.jobs.get(id);
	if (live !== undefined) return isTerminal('job', live.state) ? { state: live.state, images: imagesOf(live) } : undefined;
	const known = state.settled.get(id) ?? told?.find((dep) => dep.id === id);
	return known !== undefined && isTerminal('job', known.state) ? known : undefined;
};

/** Dependencies of a job that was just handed over. */
export const dependenciesOf = (input: PoolJob): Dependency[] =>
	[...new Set(input.spec.dependsOn)].map((id) => ({ id, state: 'open' as const }));

const ROLES = [
	['init', 'initImage'],
	['mask', 'maskImage'],
] as const;

/** Pictures that this job gets from one that ended. */
const takeInputs = (job: Job, id: string, known: Known): { artefacts: string[]; missing: string | undefined } => {
	const artefacts: string[] = [];
	let missing: string | undefined;
	for (const [role, field] of ROLES) {
		const wanted = job.spec[field];
		if (wanted === undefined || !('job' in wanted) || wanted.job !== id) continue;
		const image = known.images.find(({ index }) => index === wanted.index);
		if (image === undefined) missing = `it needs picture ${wanted.index} of ${id}, which was not made`;
		else {
			job.inputs[role] = image.key;
			artefacts.push(`${field}: picture ${image.index}`);
		}
	}
	return { artefacts, missing };
};

const fail = (ctx: Ctx, job: Job, message: string): void => {
	for (const task of job.tasks) if (task.state === 'queued') endTask(ctx, job, task, 'failed', false);
	job.error ??= { class: 'dependency', message };
	endJob(ctx, job, 'failed', 'pool', message);
};

const meet = (ctx: Ctx, job: Job, dep: Dependency, known: Known): string | undefined => {
	dep.state = known.state;
	const { artefacts, missing } = takeInputs(job, dep.id, known);
	const succeeded = known.state === 'succeeded';
	const lenient = job.spec.onDependencyFailure === 'run';
	const why = !succeeded && !lenient ? `it depends on ${dep.id}, which ${known.state}` : missing;
	const ok = succeeded && why === undefined;
	ctx.state.counters.handoffs++;
	if (ok) ctx.state.counters.handoffsMet++;
	const notes = why ?? (succeeded ? 'done' : `${known.state}, and this job runs all the same`);
	const handoff: Handoff = { from: `job:${dep.id}`, to: `job:${job.id}`, artefacts, notes, at: ctx.now, ok };
	record(ctx, job, { type: 'handoff', who: 'pool', handoff });
	return why;
};

/** Looks at what is open; starts the job when nothing is, ends it when what it needs will not come. */
const settle = (ctx: Ctx, job: Job, find: (id: string) => Known | undefined): void => {
	for (const dep of job.deps) {
		if (dep.state !== 'open') continue;
		const known = find(dep.id);
		if (known === undefined) continue;
		const why = meet(ctx, job, dep, known);
		if (why === undefined) continue;
		fail(ctx, job, why);
		return;
	}
	ctx.writes.jobs.add(job);
	if (job.deps.some((dep) => dep.state === 'open')) return;
	moveJob(ctx, job, 'queued');
	record(ctx, job, { type: 'queued', who: 'pool', from: 'waiting', to: 'queued' });
	for (const task of job.tasks) enqueueTask(ctx.state, job, task, ctx.now);
	ctx.match = true;
};

/** A job was handed over in state `waiting`. */
export const beginWaiting = (ctx: Ctx, job: Job, told: PoolJob['deps']): void => {
	indexDependents(ctx.state, job);
	settle(ctx, job, (id) => stateOf(ctx.state, id, told));
};

/** A job ended: whoever waits for it goes on. Runs in the commit of the end, so that no crash can come between. */
export const settleDependents = (ctx: Ctx, ended: Job): void => {
	const known = { state: ended.state, images: imagesOf(ended) };
	for (const id of ctx.state.dependents.get(ended.id) ?? []) {
		const job = ctx.state.jobs.get(id);
		if (job?.state === 'waiting') settle(ctx, job, (dep) => (dep === ended.id ? known : undefined));
	}
};

/** Everything that depends on a job, itself excluded, those that depend on others last. */
export const subtreeOf = (state: PoolState, jobId: string): Job[] => {
	const found = new Map<string, Job>();
	const visit = (id: string): void => {
		for (const child of state.dependents.get(id) ?? []) {
			const job = state.jobs.get(child);
			if (job === undefined) continue;
			// Met again further down: it belongs after everything that it depends on.
			found.delete(child);
			found.set(child, job);
			visit(child);
		}
	};
	visit(jobId);
	return [...found.values()];
};

/** What a waiting job waits for, in words. */
export const waitingReason = (job: Job): string => {
	const open = job.deps.filter((dep) => dep.state === 'open').map((dep) => dep.id);
	return `Waits for ${open.length === 1 ? 'the job' : `${open.length} jobs:`} ${open.join(', ')}.`;
};

/**
 * What grants and results must obey, seen from outside the pool: one epoch after the other, nothing granted that is over,
 * one result for each place.
 * @module
 */
import { isTerminal, type GrantRef } from '@limner/shared';
import { taskKey, typeOf, type Job, type StepResult } from '../model.ts';
import type { World } from './world.ts';

/** The second task of a move. */
const takesModelAway = (job: Job, index: number): boolean => typeOf(job) === 'MIGRATION' && index === 1;

export class Watch {
	grants = 0;
	/** Grants of several pictures at a time. */
	batches = 0;
	/** Keys that the pool has taken as results, and as reports. */
	readonly accepted = new Map<string, string>();
	readonly reports = new Map<string, string>();
	readonly #epochs = new Map<string, number>();
	readonly #world: World;

	constructor(world: World) {
		this.#world = world;
	}

	committed(result: StepResult): void {
		for (const send of result.sends) {
			if (send.kind !== 'task') continue;
			if (send.batch !== undefined) this.batches++;
			for (const each of [send, ...(send.batch ?? [])]) this.#granted(each);
		}
	}

	#granted({ job, index, epoch }: { job: Job; index: number; epoch: number }): void {
		const key = taskKey(job.id, index);
		const must = (holds: boolean, text: string): void => {
			if (!holds) throw new Error(`invariant: ${key} ${text}`);
		};
		const { callers, cloud } = this.#world;
		must(!callers.canceled.has(job.id), 'was canceled and is granted');
		must(cloud.isOpen(job.id), 'is granted after its job was settled');
		must(!takesModelAway(job, index) || job.tasks[0]?.state === 'succeeded', 'takes a model away that has not arrived elsewhere');
		must(!this.accepted.has(key) && !this.reports.has(key), 'has its result and is granted again');
		must(epoch === (this.#epochs.get(key) ?? 0) + 1, `jumps to epoch ${epoch}`);
		for (const id of job.spec.dependsOn ?? []) must(this.#hasEnded(id), `is granted before ${id}, which it depends on, has ended`);
		this.#epochs.set(key, epoch);
		this.grants++;
	}

	#hasEnded(jobId: string): boolean {
		const { shell, cloud } = this.#world;
		const live = shell.state.jobs.get(jobId);
		return live === undefined ? !cloud.isOpen(jobId) || shell.knows(jobId) : isTerminal('job', live.state);
	}

	/** A picture was accepted. */
	accept(ref: GrantRef, key: string): void {
		const place = taskKey(ref.jobId, ref.index);
		const before = this.accepted.get(place);
		if (before !== undefined && before !== key) throw new Error(`invariant: ${place} has two results: ${before} and ${key}`);
		if (ref.epoch !== this.#epochs.get(place))
			throw new Error(`invariant: ${place}: the result of epoch ${ref.epoch} was accepted after a later grant`);
		this.accepted.set(place, key);
	}

	/** A report was accepted. */
	acceptReport(ref: GrantRef, key: string): void {
		const place = taskKey(ref.jobId, ref.index);
		if ((this.reports.get(place) ?? key) !== key) throw new Error(`invariant: ${place} has two reports`);
		this.reports.set(place, key);
	}
}

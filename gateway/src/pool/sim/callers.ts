/**
 * Who submits, cancels and changes jobs in a simulated world, and the Workspace's part of the hand-over.
 * @module
 */
import { TIMING } from '@limner/shared';
import type { PoolJob } from '../../rpc.ts';
import { toReconcile } from '../../workspace/sweep.ts';
import type { World } from './world.ts';
import { planJobs, type PlannedJob } from './workload.ts';

/** A duplicate this late finds the job settled and its row gone. */
const VERY_LATE_MS = 400_000;

export class Callers {
	readonly submitted = new Map<string, PlannedJob>();
	readonly canceled = new Set<string>();
	readonly #world: World;

	constructor(world: World) {
		this.#world = world;
	}

	plan(options: { nodes: number; tasks: number; stormMs: number }): void {
		for (const planned of planJobs(this.#world.fates, options)) this.#world.clock.after(planned.atMs, () => this.submit(planned));
	}

	submit(planned: PlannedJob): void {
		const { job, label, cancelAfterMs, prioritize } = planned;
		const { fates, clock } = this.#world;
		const wants = `${job.spec.n} × ${job.spec.model} for ${job.ws}, priority ${job.spec.priority}`;
		if (!fates.action(`submit ${label}`, wants)) return;
		job.createdAt = this.#world.shell.now;
		job.spec.deadlineAt = this.#world.shell.now + planned.deadlineMs;
		if (fates.fault('deadlines', label, 0.1))
			job.spec.deadlineAt = Math.round(this.#world.shell.now + fates.between(`due ${label}`, 1000, 20_000));
		this.#connectGraph(planned);
		this.submitted.set(job.id, planned);
		this.#world.cloud.submit(job);
		if (cancelAfterMs !== undefined) clock.after(cancelAfterMs, () => this.#cancel(planned));
		if (prioritize !== undefined) clock.after(prioritize.afterMs, () => this.#prioritize(planned, prioritize.to));
		this.#handOver(planned);
		this.#sweepLater(job, label);
	}

	/** Only what was submitted before can be depended on: a Workspace refuses the rest. */
	#connectGraph({ job, label, dependsOn }: PlannedJob): void {
		const known = dependsOn.filter((id) => this.submitted.has(id) && this.submitted.get(id)?.job.ws === job.ws);
		if (known.length === 0) return;
		job.spec.dependsOn = known;
		if (this.#world.fates.roll(`${label} runs anyway`) < 0.3) job.spec.onDependencyFailure = 'run';
		if (this.#world.fates.roll(`${label} takes the picture`) < 0.5) job.spec.initImage = { job: known[0] ?? '', index: 0 };
	}

	#handOver({ job, label }: PlannedJob): void {
		const { fates, clock, shell } = this.#world;
		// What the Workspace knows at this moment goes with it; the shard may have forgotten it.
		if (job.spec.dependsOn !== undefined) job.deps = job.spec.dependsOn.flatMap((id) => this.#world.cloud.known(id));
		const name = this.#world.serial(`hand-over ${label}`);
		const notAfter = shell.now + TIMING.enqueueNotAfterMs;
		const deliver = (ms: number, what: string): void =>
			clock.after(ms, () => {
				shell.run(what, 'enqueue', { job: structuredClone(job), notAfter });
			});
		if (!fates.fault('rpc', `${name} not reached`, 0.03))
			deliver(fates.fault('reordering', `${name} late`, 0.1) ? fates.between(`${name} delay`, 0, 8000) : 1, name);
		if (fates.fault('duplication', name, 0.05)) deliver(fates.between(`${name} again`, 0, 8000), `${name} again`);
		if (fates.fault('duplication', `${name} very late`, 0.02)) deliver(VERY_LATE_MS, `${name} very late`);
	}

	/** The Workspace asks about jobs that stay open, and hands over again what the shard does not know. */
	#sweepLater(job: PoolJob, label: string): void {
		this.#world.clock.after(TIMING.reconcileOpenMs + 1000, () => {
			if (!this.#world.cloud.isOpen(job.id)) return;
			const asked = toReconcile([[job.id, job.createdAt]], this.#world.shell.now);
			const planned = this.submitted.get(job.id);
			if (planned !== undefined && asked.length > 0 && !this.#world.shell.knows(job.id)) this.#handOver(planned);
			this.#sweepLater(job, label);
		});
	}

	#prioritize({ job, label }: PlannedJob, priority: number): void {
		if (!this.#world.fates.action(`prioritize ${label}`, String(priority))) return;
		const reply = this.#world.shell.run(`prioritize ${label}`, 'prioritize', { ws: job.ws, jobId: job.id, priority, who: 'key:k' });
		if (reply?.ok !== true) return;
		const now = this.#world.shell.state.jobs.get(job.id)?.spec.priority;
		// The pool may have died right after it answered: what was answered must have been written.
		if (now !== priority) throw new Error(`invariant: ${job.id} was told priority ${priority} and has ${now}`);
	}

	#cancel({ job, label }: PlannedJob): void {
		if (!this.#world.fates.action(`cancel ${label}`, job.ws)) return;
		const reply = this.#world.shell.run(`cancel ${label}`, 'cancel', {
			ws: job.ws,
			jobId: job.id,
			who: 'key:k',
			subtree: this.#world.fates.roll(`cancel ${label} subtree`) < 0.3,
		});
		if (reply?.ok === true && reply.state === 'canceled') this.canceled.add(job.id);
	}
}

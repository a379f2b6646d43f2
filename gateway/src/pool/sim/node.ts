/**
 * A simulated node: works, fails, dies, freezes, goes deaf, comes back, and repeats its uploads until somebody answers.
 * @module
 */
import { isChore, type GatewayFrame, type GrantRef, type ProgressItem, type TaskType } from '@limner/shared';
import type { CompleteOutcome } from '../../rpc.ts';
import type { Job, NodeIdentity, Send, WorkFrame } from '../model.ts';
import { taskKey, typeOf } from '../model.ts';
import type { Fates } from './fates.ts';
import { slotsOf, sourcedModel } from './fixtures.ts';
import type { Clock } from './random.ts';

export interface Ports {
	clock: Clock;
	fates: Fates;
	connect(node: SimNode): void;
	/** Says something over a connection; may be lost, doubled or late. */
	say(node: SimNode, connId: string, frame: WorkFrame): void;
	/** Whether models cannot be fetched now. */
	sourceAway(): boolean;
	/** One upload; `lost` = no answer came. */
	upload(node: SimNode, ref: GrantRef, attempt: string): CompleteOutcome | 'refused' | 'lost';
}

interface Work extends GrantRef {
	slotId: string;
	startedAt: number;
	/** Names this very run of the task. */
	name: string;
	/** What is done when it is no picture. */
	type: TaskType;
	model: string;
}

/** What of the world a node has. */
export interface NodeTraits {
	/** Short name in scripts. */
	label: string;
	slots: number;
	/** Pictures that a slot makes at a time. */
	maxBatch: number;
	models: string[];
	/** How fast its clock runs. */
	rate: number;
}

const PROGRESS_MS = 1500;
const RECONNECT_MAX_MS = 3000;
const UPLOAD_SLOW_MS = 30_000;

const placeOf = (work: Work): string => `${work.slotId}|${taskKey(work.jobId, work.index)}`;
const bare = (ref: GrantRef): GrantRef => ({ jobId: ref.jobId, index: ref.index, epoch: ref.epoch });

export class SimNode {
	readonly identity: NodeIdentity;
	readonly traits: NodeTraits;
	/** By slot and task: a slot may make several pictures at a time. */
	readonly running = new Map<string, Work>();
	readonly outbox = new Map<string, GrantRef>();
	connId: string | null = null;
	boot = 1;
	/** The process stands still since then (SIGSTOP). */
	frozenAt: number | null = null;
	/** Its link carries nothing since then, and it has not noticed. */
	deafAt: number | null = null;
	/** It was told that it was terminated, and does not come back. */
	banned = false;
	#serial = 0;
	readonly #ports: Ports;

	constructor(identity: NodeIdentity, traits: NodeTraits, ports: Ports) {
		this.identity = identity;
		this.traits = traits;
		this.#ports = ports;
	}

	#after(ms: number, run: () => void): void {
		this.#ports.clock.after(ms * this.traits.rate, run);
	}

	#name(what: string): string {
		return `${this.traits.label} ${what} #${++this.#serial}`;
	}

	/** When the runtime last answered its ping: every four seconds, until it froze or its link died. */
	pingAt(): number {
		const at = Math.min(this.frozenAt ?? Number.POSITIVE_INFINITY, this.deafAt ?? Number.POSITIVE_INFINITY, this.#ports.clock.now);
		return at - (at % 4000);
	}

	#say(frame: WorkFrame): void {
		if (this.connId !== null && this.frozenAt === null && this.deafAt === null) this.#ports.say(this, this.connId, frame);
	}

	/** A slot ends what it does when it is given something else. */
	onTask(task: Extract<Send, { kind: 'task' }>): void {
		for (const [key, work] of this.running) if (work.slotId === task.slotId) this.running.delete(key);
		for (const each of [task, ...(task.batch ?? [])]) this.#begin(each, task.slotId);
	}

	#begin({ job, index, epoch }: { job: Job; index: number; epoch: number }, slotId: string): void {
		const { clock, fates } = this.#ports;
		const ref = { jobId: job.id, index, epoch };
		const name = this.#name('work');
		const work = { ...ref, slotId, startedAt: clock.now, name, type: typeOf(job), model: job.spec.model };
		this.running.set(placeOf(work), work);
		this.#say({ t: 'ack', ...ref, slotId });
		this.#workOn(work, fates.between(name, 100, 6000), 0, job.spec.steps);
	}

	#workOn(work: Work, leftMs: number, step: number, steps: number): void {
		this.#after(Math.min(leftMs, PROGRESS_MS), () => {
			if (this.running.get(placeOf(work)) !== work || this.frozenAt !== null) return;
			if (leftMs > PROGRESS_MS) {
				const item: ProgressItem = { ...bare(work), phase: 'denoising', step: Math.min(step + 1, steps), steps };
				this.#say({ t: 'progress', items: [item] });
				this.#workOn(work, leftMs - PROGRESS_MS, step + 1, steps);
				return;
			}
			this.running.delete(placeOf(work));
			if (isChore(work.type) && this.#ports.sourceAway()) this.#missSource(work);
			else if (this.#ports.fates.fault('failures', `${work.name} fails`, 0.12)) this.#fail(work);
			else this.#finish(work);
		});
	}

	#fail(work: Work): void {
		const cls = this.#ports.fates.pick(`${work.name} class`, ['engine', 'engine', 'oom', 'invalid', 'lost'] as const);
		this.#say({ t: 'failed', ...bare(work), slotId: work.slotId, class: cls, message: `simulated ${cls}` });
	}

	#missSource(work: Work): void {
		const why = { class: 'engine', message: 'the source does not answer', need: 'model-source' } as const;
		this.#say({ t: 'failed', ...bare(work), slotId: work.slotId, ...why });
	}

	/** Pulls and moves change what the node offers. The first node keeps everything, so that every job can end. */
	#changeModels(work: Work): void {
		if (work.type !== 'INGEST' && work.type !== 'MIGRATION') return;
		if (work.index === 0) this.#have(work.model);
		else if (this.traits.label !== 'n0') this.traits.models = this.traits.models.filter((name) => name !== work.model);
		this.#say({ t: 'telemetry', models: this.traits.models.map(sourcedModel) });
	}

	#have(model: string): void {
		if (!this.traits.models.includes(model)) this.traits.models = [...this.traits.models, model];
	}

	/** A hint, nothing more: it is taken when nothing is in the way. */
	#prefetch(model: string): void {
		const name = this.#name('prefetch');
		this.#after(this.#ports.fates.between(name, 1000, 8000), () => {
			if (this.frozenAt !== null || this.#ports.sourceAway()) return;
			this.#have(model);
			this.#say({ t: 'telemetry', models: this.traits.models.map(sourcedModel) });
		});
	}

	#finish(work: Work): void {
		this.#changeModels(work);
		const totalMs = this.#ports.clock.now - work.startedAt;
		this.outbox.set(taskKey(work.jobId, work.index), bare(work));
		this.#say({ t: 'generated', ...bare(work), slotId: work.slotId, loadMs: 0, denoiseMs: totalMs, totalMs });
		this.#upload(bare(work), work.name, 1);
	}

	/** Uploads go over HTTP: they work while the socket is down. */
	#upload(ref: GrantRef, name: string, attempt: number): void {
		const { fates } = this.#ports;
		const which = `${name} upload ${attempt}`;
		const slow = fates.fault('reordering', `${which} is slow`, 0.05) ? UPLOAD_SLOW_MS : 0;
		this.#after(fates.between(which, 20, 400) + slow, () => {
			const key = taskKey(ref.jobId, ref.index);
			if (this.outbox.get(key)?.epoch !== ref.epoch) return;
			const outcome = this.frozenAt === null ? this.#ports.upload(this, ref, which) : 'lost';
			if (outcome === 'retry' || outcome === 'lost') this.#upload(ref, name, attempt + 1);
			else this.outbox.delete(key);
		});
	}

	onFrame(frame: GatewayFrame): void {
		if (frame.t === 'cancel') this.#stop(frame, true);
		if (frame.t === 'resize') {
			this.traits.slots = frame.slots;
			this.#say({ t: 'telemetry', slots: slotsOf(frame.slots, this.traits.maxBatch) });
		}
		if (frame.t === 'prefetch') this.#prefetch(frame.model);
		if (frame.t === 'welcome') for (const ref of frame.drop) this.#stop(ref, false);
	}

	#stop(ref: GrantRef, tell: boolean): void {
		for (const [key, work] of this.running) {
			if (work.jobId !== ref.jobId || work.index !== ref.index || work.epoch !== ref.epoch) continue;
			this.running.delete(key);
			const { slotId } = work;
			if (tell && this.#ports.fates.roll(`${work.name} tells`) < 0.7)
				this.#say({ t: 'failed', ...bare(ref), slotId, class: 'engine', message: 'canceled' });
		}
	}

	/** The process dies; its outbox is on disk. */
	kill(): void {
		this.running.clear();
		this.boot++;
		this.frozenAt = null;
		this.deafAt = null;
		this.reconnectSoon();
	}

	/** Stands still for a while and then goes on as if nothing had happened. */
	freeze(ms: number): void {
		this.frozenAt ??= this.#ports.clock.now;
		this.#after(ms, () => {
			if (this.frozenAt === null) return;
			this.frozenAt = null;
			for (const work of this.running.values()) this.#workOn(work, 500, 0, 4);
			if (this.connId === null) this.reconnectSoon();
		});
	}

	/** Works on behind a link that carries nothing, until it notices and connects anew. */
	deafen(ms: number): void {
		if (this.connId === null || this.deafAt !== null) return;
		this.deafAt = this.#ports.clock.now;
		this.#after(ms, () => {
			if (this.deafAt === null) return;
			this.deafAt = null;
			this.reconnectSoon();
		});
	}

	reconnectSoon(): void {
		this.connId = null;
		this.#after(this.#ports.fates.between(this.#name('reconnect'), 50, RECONNECT_MAX_MS), () => {
			if (this.connId === null && this.frozenAt === null && !this.banned) this.#ports.connect(this);
		});
	}
}

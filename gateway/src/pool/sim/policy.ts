/**
 * The pool's policy against "first puller wins", under virtual time and without faults. The puller is what a queue with
 * polling workers does: whoever asks first gets the oldest task that it can do, whatever it is good at. It is given two
 * forms: one that asks at once whenever it is idle, which costs it nothing, and one that asks every second, as workers
 * of AI Horde do.
 * @module
 */
import { newJobId, newNodeId, resultKey } from '@limner/shared';
import { step } from '../core.ts';
import type { EventMap, EventType, PoolState, Send } from '../model.ts';
import { rebuild } from '../rows.ts';
import { helloOf, modelOf, specOf } from './fixtures.ts';
import { Clock, createRandom } from './random.ts';
import { makeWorkload, truthOf, type PolicyNode, type PolicyTask, type Workload } from './workloads.ts';

const START = 1_800_000_000_000;
const PULL_MS = 1000;
/** From the machine to the gateway, and from the gateway to the machine. */
const WIRE_MS = 20;
const ALARM_FLOOR_MS = 1000;

export interface PolicyResult {
	/** From submit to picture, in milliseconds, one for each task. */
	waits: number[];
	/** Of the workspace that asks for little, where there is one. */
	guestWaits: number[];
	/** From the first submit to the last picture, in milliseconds. */
	makespanMs: number;
}

type TaskSend = Extract<Send, { kind: 'task' }>;

const resultOf = (tasks: readonly PolicyTask[], doneAt: readonly number[]): PolicyResult => {
	const waits = tasks.map((task, i) => (doneAt[i] ?? Number.NaN) - START - task.atMs);
	if (waits.some((wait) => Number.isNaN(wait))) throw new Error('a picture was never made');
	return {
		waits,
		guestWaits: waits.filter((_wait, i) => tasks[i]?.ws === 'guest'),
		makespanMs: Math.max(...doneAt) - START,
	};
};

/** Machines behind the production core. */
class PoolWorld {
	readonly clock = new Clock(START);
	readonly #state: PoolState;
	readonly #nodes: PolicyNode[];
	readonly #loaded: (string | null)[];
	readonly #tasks: PolicyTask[];
	readonly #byJob = new Map<string, number>();
	readonly #random = createRandom(7);
	readonly doneAt: number[] = [];
	#wakeAt = Number.POSITIVE_INFINITY;

	constructor(nodes: PolicyNode[], tasks: PolicyTask[]) {
		this.#nodes = nodes;
		this.#tasks = tasks;
		this.#loaded = nodes.map(() => null);
		this.#state = rebuild({ jobs: [], nodes: [] }, { nodes: [], pending: [], watched: [] }, START, { pingAt: () => this.clock.now });
		for (const index of nodes.keys()) this.#join(index);
		for (const [index, task] of tasks.entries()) this.clock.after(task.atMs, () => this.#submit(index));
	}

	run(): PolicyResult {
		while (this.doneAt.filter((at) => at > 0).length < this.#tasks.length && this.clock.advance(Number.POSITIVE_INFINITY));
		return resultOf(this.#tasks, this.doneAt);
	}

	#bytes(): Uint8Array {
		return Uint8Array.from({ length: 10 }, () => this.#random.int(256));
	}

	#step<T extends EventType>(type: T, event: EventMap[T]): void {
		const { sends, wakeAt, pokeAt } = step(this.#state, { t: type, ...event }, this.clock.now);
		for (const send of sends) {
			if (send.kind === 'task') this.clock.after(WIRE_MS, () => this.#draw(send));
			if (send.kind === 'settle')
				this.clock.after(WIRE_MS, () => this.#step('settled', { ws: send.ws, jobIds: send.batch.map((each) => each.jobId) }));
		}
		const due = Math.min(Math.max(wakeAt ?? Number.POSITIVE_INFINITY, this.clock.now + ALARM_FLOOR_MS), pokeAt ?? Number.POSITIVE_INFINITY);
		if (due >= this.#wakeAt) return;
		this.#wakeAt = due;
		this.clock.after(due - this.clock.now, () => {
			if (this.#wakeAt !== due) return;
			this.#wakeAt = Number.POSITIVE_INFINITY;
			this.#step('tick', {});
		});
	}

	#join(index: number): void {
		const node = this.#nodes[index];
		if (node === undefined) return;
		const connId = `c${index}`;
		const identity = { nodeId: newNodeId(START, this.#bytes()), ws: 'one', trust: 'shared' as const, name: `n${index}` };
		const slots = [{ id: 's0', device: { kind: node.kind, name: node.kind }, engine: 'x', maxBatch: 1 }];
		this.#step('connect', { connId });
		this.#step('hello', { connId, identity, frame: helloOf(identity, connId, { slots, models: node.models.map(modelOf) }) });
	}

	#submit(index: number): void {
		const task = this.#tasks[index];
		if (task === undefined) return;
		const { now } = this.clock;
		const { px, steps, model, ws } = task;
		const spec = specOf(now, { width: px, height: px, steps, model, deadlineAt: now + 86_400_000 });
		const id = newJobId(now, this.#bytes(), 0);
		this.#byJob.set(id, index);
		const job = { id, ws, weight: 1, spec, createdAt: now, warnings: [], keyId: 'k' };
		this.#step('enqueue', { job, notAfter: now + 60_000 });
	}

	#draw(send: TaskSend): void {
		const index = this.#byJob.get(send.job.id);
		const task = index === undefined ? undefined : this.#tasks[index];
		const place = Number(send.connId.slice(1));
		const node = this.#nodes[place];
		if (index === undefined || task === undefined || node === undefined) return;
		const ref = { jobId: send.job.id, index: send.index, epoch: send.epoch };
		const { connId, slotId } = send;
		const { loadMs, drawMs } = truthOf(node, this.#loaded[place] ?? null, task);
		this.#loaded[place] = task.model;
		this.#step('frame', { connId, frame: { t: 'ack', ...ref, slotId } });
		this.#keepAlive(send, this.clock.now + loadMs + drawMs);
		this.clock.after(loadMs + drawMs + WIRE_MS, () => {
			const totalMs = loadMs + drawMs;
			this.#step('frame', { connId, frame: { t: 'generated', ...ref, slotId, loadMs, denoiseMs: drawMs, totalMs } });
			this.doneAt[index] = this.clock.now;
			this.#complete(send);
		});
	}

	/** Progress every two seconds: a slow machine is slow, and not dead. */
	#keepAlive(send: TaskSend, until: number): void {
		this.clock.after(2000, () => {
			if (this.clock.now >= until) return;
			const item = {
				jobId: send.job.id,
				index: send.index,
				epoch: send.epoch,
				phase: 'denoising' as const,
				step: Math.ceil(this.clock.now / 2000) % 1000,
				steps: 1000,
			};
			this.#step('frame', { connId: send.connId, frame: { t: 'progress', items: [item] } });
			this.#keepAlive(send, until);
		});
	}

	#complete(send: TaskSend): void {
		const { job, index, epoch } = send;
		const nodeId = job.tasks[index]?.nodeId ?? '';
		const sha256 = 'ab'.repeat(32);
		const { width, height } = job.spec;
		const key = resultKey(job.ws, job.id, index, epoch, sha256, 'png');
		const image = { index, key, epoch, nodeId, contentType: 'image/png', bytes: 1, sha256, width, height, seed: 1, at: this.clock.now };
		this.#step('complete', { input: { ws: job.ws, jobId: job.id, index, epoch, nodeId, image } });
	}
}

/** Idle machines ask; whoever asks gets the oldest task that it has the model for. */
const runPullers = (nodes: PolicyNode[], tasks: PolicyTask[], pollMs: number, seed: number): PolicyResult => {
	const clock = new Clock(START);
	const random = createRandom(seed);
	const queue: number[] = [];
	const idle = new Set<number>(nodes.keys());
	const loaded: (string | null)[] = nodes.map(() => null);
	const doneAt: number[] = [];
	const pull = (place: number): boolean => {
		const node = nodes[place];
		const at = queue.findIndex((index) => node?.models.includes(tasks[index]?.model ?? '') === true);
		const index = queue[at];
		const task = index === undefined ? undefined : tasks[index];
		if (node === undefined || index === undefined || task === undefined) return false;
		queue.splice(at, 1);
		idle.delete(place);
		const { loadMs, drawMs } = truthOf(node, loaded[place] ?? null, task);
		loaded[place] = task.model;
		clock.after(loadMs + drawMs + 2 * WIRE_MS, () => {
			doneAt[index] = clock.now;
			idle.add(place);
			if (pollMs === 0) pull(place);
		});
		return true;
	};
	/** Whoever happens to ask first: nobody decides. */
	const offer = (): void => {
		const waiting = [...idle];
		while (waiting.length > 0) pull(waiting.splice(random.int(waiting.length), 1)[0] ?? -1);
	};
	const poll = (place: number): void => {
		if (idle.has(place)) pull(place);
		clock.after(pollMs, () => poll(place));
	};
	if (pollMs > 0) for (const place of nodes.keys()) clock.after(random.between(0, pollMs), () => poll(place));
	for (const [index, task] of tasks.entries()) {
		clock.after(task.atMs, () => {
			queue.push(index);
			if (pollMs === 0) offer();
		});
	}
	while (doneAt.filter((at) => at > 0).length < tasks.length && clock.advance(Number.POSITIVE_INFINITY));
	return resultOf(tasks, doneAt);
};

export type PolicyName = 'pool' | 'puller' | 'poller';

/** Plays one workload with one policy. */
export const playPolicy = (workload: Workload, policy: PolicyName, seed: number): PolicyResult => {
	const { nodes, tasks } = makeWorkload(workload, seed);
	if (policy === 'pool') return new PoolWorld(nodes, tasks).run();
	return runPullers(nodes, tasks, policy === 'poller' ? PULL_MS : 0, seed);
};

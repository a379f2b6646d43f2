/**
 * The core on a bench: one event at a time, at times that a test chooses, with rows as after a real commit.
 * @module
 */
import { newJobId, newNodeId, resultKey, type GatewayFrame, type JobSpec } from '@limner/shared';
import { step } from '../core.ts';
import type { EventMap, EventType, HelloFrame, NodeIdentity, PoolState, ReplyOf, Send, StepResult, WorkFrame } from '../model.ts';
import { rebuild, type Survivors } from '../rows.ts';
import { packJob, packNode, type JobRowData, type NodeRowData } from '../pack.ts';
import type { PoolJob } from '../../rpc.ts';
import { helloOf, specOf } from './fixtures.ts';
import { createRandom } from './random.ts';
import { checkInvariants } from './invariants.ts';

export type TaskSend = Extract<Send, { kind: 'task' }>;

const START = 1_800_000_000_000;
const NO_SURVIVORS: Survivors = { nodes: [], pending: [], watched: [] };

export class Bench {
	now = START;
	state: PoolState;
	sends: Send[] = [];
	/** Row writes since the last `clear`. */
	writes = 0;
	wakeAt: number | undefined;
	/** When the shell's short timer stands, which ends with the object's memory. */
	pokeAt: number | undefined;
	/** Writes of node rows since the last `clear`. */
	nodeWrites = 0;
	readonly rows = new Map<string, JobRowData>();
	readonly nodeRows = new Map<string, NodeRowData>();
	/** Connections that have stopped to ping, and when. */
	readonly silent = new Map<string, number>();
	readonly #random = createRandom(1);
	#serial = 0;

	readonly #quiet: boolean;

	/** @param options with `quiet`, invariants are not checked and rows not kept, which in a large pool takes much longer than the step */
	constructor(options: { quiet?: boolean } = {}) {
		this.#quiet = options.quiet ?? false;
		this.state = this.#rebuilt(NO_SURVIVORS);
	}

	#rebuilt(survivors: Survivors): PoolState {
		const rows = structuredClone({ jobs: [...this.rows.values()], nodes: [...this.nodeRows.values()] });
		return rebuild(rows, survivors, this.now, { pingAt: (connId) => this.silent.get(connId) ?? this.now });
	}

	on<T extends EventType>(type: T, event: EventMap[T]): ReplyOf<T> {
		const result: StepResult<ReplyOf<T>> = step(this.state, { t: type, ...event }, this.now);
		if (!this.#quiet) {
			for (const job of result.writes.jobs) this.rows.set(job.id, packJob(job));
			for (const node of result.writes.nodes) this.nodeRows.set(node.id, packNode(node));
		}
		for (const id of result.writes.deleted) this.rows.delete(id);
		this.writes += result.writes.jobs.size + result.writes.deleted.length;
		this.sends.push(...result.sends);
		this.wakeAt = result.wakeAt;
		this.pokeAt = result.pokeAt;
		this.nodeWrites += result.writes.nodes.size;
		if (!this.#quiet) checkInvariants(this.state, this.rows, result, this.now, true);
		return result.reply;
	}

	/** Lets time pass; the alarm fires whenever it is due. */
	pass(ms: number): void {
		const until = this.now + ms;
		for (let at = this.wakeAt; at !== undefined && Math.max(at, this.now + 1) <= until; at = this.wakeAt) {
			this.now = Math.max(at, this.now + 1);
			this.on('tick', {});
		}
		this.now = until;
		this.on('tick', {});
	}

	/** Nothing happens for so long but what was planned. The object stays in memory only while a short timer stands. */
	rest(ms: number): void {
		const until = this.now + ms;
		for (let at = this.pokeAt; at !== undefined && at <= until; at = this.pokeAt) {
			this.now = Math.max(at, this.now + 1);
			this.on('tick', {});
		}
		this.now = until;
	}

	clear(): void {
		this.sends = [];
		this.writes = 0;
		this.nodeWrites = 0;
	}

	/** The pool dies; sockets die too unless they are listed. */
	restart(survivors: Partial<Survivors> = {}): void {
		this.state = this.#rebuilt({ ...NO_SURVIVORS, ...survivors });
		this.on('tick', {});
	}

	identity(change: Partial<NodeIdentity> = {}): NodeIdentity {
		const nodeId = newNodeId(START, this.#bytes());
		return { nodeId, ws: 'acme', trust: 'shared', name: 'node', ...change };
	}

	#bytes(): Uint8Array {
		return Uint8Array.from({ length: 10 }, () => this.#random.int(256));
	}

	/** Connects a node; answers its connection id. */
	join(identity: NodeIdentity, change: Partial<HelloFrame> = {}): string {
		const connId = `c${++this.#serial}`;
		this.on('connect', { connId });
		this.on('hello', { connId, identity, frame: helloOf(identity, connId, change) });
		return connId;
	}

	job(change: Partial<JobSpec> = {}, about: Partial<PoolJob> = {}): PoolJob {
		const id = newJobId(this.now, this.#bytes(), 0);
		return { id, ws: 'acme', weight: 1, spec: specOf(this.now, change), createdAt: this.now, warnings: [], keyId: 'k', ...about };
	}

	enqueue(job: PoolJob): ReplyOf<'enqueue'> {
		return this.on('enqueue', { job, notAfter: this.now + 60_000 });
	}

	submit(change: Partial<JobSpec> = {}, about: Partial<PoolJob> = {}): PoolJob {
		const job = this.job(change, about);
		this.enqueue(job);
		return job;
	}

	/** Grants sent since the last look. */
	grants(): TaskSend[] {
		const found = this.sends.filter((send) => send.kind === 'task');
		this.sends = this.sends.filter((send) => send.kind !== 'task');
		return found;
	}

	grant(): TaskSend {
		const [first, ...more] = this.grants();
		if (first === undefined || more.length > 0) throw new Error(`expected one grant, found ${more.length + (first ? 1 : 0)}`);
		return first;
	}

	frames<T extends GatewayFrame['t']>(type: T): Extract<GatewayFrame, { t: T }>[] {
		return this.sends.flatMap((send) =>
			send.kind === 'frame' && send.frame.t === type ? [send.frame as Extract<GatewayFrame, { t: T }>] : [],
		);
	}

	say(connId: string, frame: WorkFrame): void {
		this.on('frame', { connId, frame });
	}

	ack(grant: TaskSend): void {
		this.say(grant.connId, { t: 'ack', ...refOf(grant), slotId: grant.slotId });
	}

	fail(grant: TaskSend, cls: 'engine' | 'oom' | 'invalid' | 'lost', message = 'it broke'): void {
		this.say(grant.connId, { t: 'failed', ...refOf(grant), slotId: grant.slotId, class: cls, message });
	}

	generated(grant: TaskSend, denoiseMs = 100): void {
		this.say(grant.connId, { t: 'generated', ...refOf(grant), slotId: grant.slotId, loadMs: 0, denoiseMs, totalMs: denoiseMs });
	}

	/** Reports a stored picture; `sha` distinguishes different bytes. */
	complete(grant: TaskSend, nodeId: string, sha = 'a'): ReplyOf<'complete'> {
		const { jobId, index, epoch } = refOf(grant);
		const sha256 = sha.repeat(64);
		const key = resultKey(grant.job.ws, jobId, index, epoch, sha256, 'png');
		const image = { index, key, epoch, nodeId, contentType: 'image/png', bytes: 9, sha256, width: 128, height: 128, seed: 1, at: this.now };
		return this.on('complete', { input: { ws: grant.job.ws, jobId, index, epoch, nodeId, image } });
	}

	settleAll(): void {
		this.pass(200);
		for (const send of this.sends) {
			if (send.kind === 'settle') this.on('settled', { ws: send.ws, jobIds: send.batch.map((each) => each.jobId) });
		}
	}
}

export const refOf = (grant: TaskSend): { jobId: string; index: number; epoch: number } => ({
	jobId: grant.job.id,
	index: grant.index,
	epoch: grant.epoch,
});

/**
 * The simulator: the production core under virtual time, with nodes, Workspaces, callers and faults around it.
 * @module
 */
import { CLOSE, makesReport, resultKey, type GrantRef, type TaskType } from '@limner/shared';
import type { CompleteInput, CompleteOutcome, PoolJob, Settlement } from '../../rpc.ts';
import { typeOf, type Send, type WorkFrame } from '../model.ts';
import type { Survivors } from '../rows.ts';
import { Callers } from './callers.ts';
import { Cloud } from './cloud.ts';
import { Fates, type FaultName } from './fates.ts';
import { helloOf, slotsOf, sourcedModel } from './fixtures.ts';
import { SimNode, type Ports } from './node.ts';
import { Clock } from './random.ts';
import { Shell } from './shell.ts';
import { planStorm } from './storm.ts';
import { Watch } from './watch.ts';
import { MODELS, nodeIdOf, nodeWsOf } from './workload.ts';

export interface WorldOptions {
	seed: number;
	nodes: number;
	/** Pictures wanted by all jobs together. */
	tasks: number;
	faults: ReadonlySet<FaultName>;
	/** Jobs arrive and faults happen within this time, in milliseconds. */
	stormMs: number;
	/** Exactly these actions and faults happen. */
	script?: ReadonlySet<string>;
}

export const START = 1_800_000_000_000;
const TASK_TYPES: readonly TaskType[] = ['RESEARCH', 'INGEST', 'DISCOVERY', 'MIGRATION', 'HEARTBEAT'];
export class World {
	readonly clock = new Clock(START);
	readonly fates: Fates;
	readonly cloud = new Cloud();
	readonly shell: Shell;
	readonly nodes: SimNode[] = [];
	readonly callers: Callers;
	readonly watch: Watch;
	/** Hints to fetch a model, and nodes that were sent to another shard. */
	hints = 0;
	moves = 0;
	readonly conns = new Map<string, SimNode>();
	/** Models cannot be fetched until this virtual time. */
	sourceAwayUntil = 0;
	readonly #serials = new Map<string, number>();
	readonly #lastArrival = new Map<string, number>();

	constructor(options: WorldOptions) {
		this.fates = new Fates(options.seed, options.faults, options.script, () => this.clock.now - START);
		this.shell = new Shell(
			{
				clock: this.clock,
				fates: this.fates,
				send: (send) => this.#send(send),
				committed: (result) => this.watch.committed(result),
				survivors: (hibernate) => this.#survivors(hibernate),
				pingAt: (connId) => {
					const node = this.conns.get(connId);
					return node?.connId === connId ? node.pingAt() + this.shell.skew : null;
				},
			},
			Math.min(1, 1000 / (options.nodes + options.tasks)) ** 1.3,
		);
		this.callers = new Callers(this);
		this.watch = new Watch(this);
		this.#addNodes(options);
		this.callers.plan(options);
		planStorm(this, options);
	}

	#addNodes(options: WorldOptions): void {
		const { clock, fates } = this;
		const ports: Ports = {
			clock,
			fates,
			connect: (node) => this.#connect(node),
			say: (node, connId, frame) => this.#toPool(node, connId, frame),
			sourceAway: () => clock.now < this.sourceAwayUntil,
			upload: (node, ref, attempt) => this.#upload(node, ref, attempt),
		};
		for (let i = 0; i < options.nodes; i++) {
			const label = `n${i}`;
			// The first node can do everything for everybody, so that every job can end.
			const trust = i === 0 || fates.roll(`${label} shared`) < 0.7 ? ('shared' as const) : ('own' as const);
			const ws = nodeWsOf(fates, i, options.nodes);
			const identity = { nodeId: nodeIdOf(fates, i), ws, trust, name: label };
			const models = i === 0 || fates.roll(`${label} models`) < 0.5 ? [...MODELS] : [MODELS[0]];
			const slots = 1 + Math.floor(fates.roll(`${label} slots`) * 3);
			const maxBatch = fates.pick(`${label} batch`, [1, 1, 2, 4]);
			if (i > 0 && !fates.action(`node ${label}`, `${slots} slots of ${maxBatch}, ${models.join(' and ')}, ${trust} of ${ws}`)) continue;
			const rate = fates.has('clock') ? fates.between(`${label} rate`, 0.9, 1.1) : 1;
			this.nodes.push(new SimNode(identity, { label, slots, maxBatch, models, rate }, ports));
		}
		for (const node of this.nodes) node.reconnectSoon();
	}

	/** Runs for so long in virtual time. */
	run(ms: number): void {
		const until = this.clock.now + ms;
		while (this.clock.advance(until));
		this.clock.now = until;
	}

	/** Ends all faults, resumes what was stopped, and lets everything come to rest. */
	calm(ms: number): void {
		this.fates.calm = true;
		for (const { identity } of this.nodes) {
			const { ws, nodeId } = identity;
			this.shell.run(`resume ${nodeId}`, 'setMode', { ws, nodeId, mode: 'active', reason: 'calm' });
		}
		this.run(ms);
	}

	/** Numbers things of a kind, so that a chance belongs to one of them. */
	serial(kind: string): string {
		const next = (this.#serials.get(kind) ?? 0) + 1;
		this.#serials.set(kind, next);
		return `${kind} ${next}`;
	}

	// ---- what the pool sends ----

	#send(send: Send): void {
		if (send.kind === 'settle') this.#settle(send.ws, send.batch);
		if (send.kind === 'close' || send.kind === 'move') this.#end(send);
		if (send.kind === 'task' || send.kind === 'frame') this.#sendFrame(send);
	}

	/** A node that is sent to another shard comes back some time later. */
	#end(send: Extract<Send, { kind: 'close' | 'move' }>): void {
		const node = this.conns.get(send.connId);
		if (send.kind === 'move') this.moves++;
		else if (send.code === CLOSE.banned && node !== undefined) node.banned = true;
		this.drop(send.connId);
	}

	#sendFrame(send: Extract<Send, { kind: 'task' | 'frame' }>): void {
		if (send.kind === 'frame' && send.frame.t === 'prefetch') this.hints++;
		const name = this.serial(`${send.connId} down`);
		const node = this.conns.get(send.connId);
		if (node === undefined || this.fates.fault('loss', `${name} ${send.kind === 'frame' ? send.frame.t : 'task'}`, 0.01)) return;
		this.#deliver(name, `${send.connId} down`, () => {
			if (node.connId !== send.connId || node.frozenAt !== null || node.deafAt !== null) return;
			if (send.kind === 'task') node.onTask(send);
			else node.onFrame(send.frame);
		});
	}

	/** In order, unless frames overtake each other. */
	#deliver(name: string, stream: string, run: () => void): void {
		const { clock, fates } = this;
		if (fates.fault('reordering', `${name} late`, 0.04)) {
			clock.after(fates.between(`${name} delay`, 100, 3000), run);
			return;
		}
		const at = Math.max(this.#lastArrival.get(stream) ?? 0, clock.now + fates.between(`${name} latency`, 1, 40));
		this.#lastArrival.set(stream, at);
		clock.after(at - clock.now, run);
	}

	#settle(ws: string, batch: Settlement[]): void {
		const { fates, shell } = this;
		const name = this.serial(`settle ${ws}`);
		const jobIds = batch.map((each) => each.jobId);
		const { life } = shell;
		const answer = (type: 'settled' | 'settleFailed'): void => {
			if (life === shell.life) shell.run(`${type} ${name}`, type, { ws, jobIds });
		};
		this.clock.after(fates.between(name, 1, 50), () => {
			if (fates.fault('rpc', `${name} not reached`, 0.1)) {
				answer('settleFailed');
				return;
			}
			this.cloud.settle(batch);
			if (fates.fault('duplication', name, 0.1)) this.cloud.settle(batch);
			// The answer may be lost: the Workspace has it all the same.
			answer(fates.fault('rpc', `${name} answer lost`, 0.1) ? 'settleFailed' : 'settled');
		});
	}

	#survivors(hibernate: boolean): Survivors {
		const survivors: Survivors = { nodes: [], pending: [], watched: [] };
		for (const [connId, node] of this.conns) {
			if (hibernate && this.shell.state.connNode.has(connId))
				survivors.nodes.push({ connId, nodeId: node.identity.nodeId, bootId: String(node.boot), at: this.shell.now - 1000 });
			else this.drop(connId);
		}
		return survivors;
	}

	// ---- nodes ----

	/** The gateway ended a connection. A node behind a dead link does not notice. */
	drop(connId: string): void {
		const node = this.conns.get(connId);
		this.conns.delete(connId);
		if (node?.connId === connId && node.deafAt === null) node.reconnectSoon();
	}

	#connect(node: SimNode): void {
		const connId = this.serial(`${node.traits.label} conn`);
		this.conns.set(connId, node);
		node.connId = connId;
		this.shell.run(`connect ${connId}`, 'connect', { connId });
		this.clock.after(this.fates.between(`hello ${connId}`, 1, 40), () => {
			if (node.connId !== connId || node.frozenAt !== null || node.deafAt !== null) return;
			const running = [...node.running.values()].map(({ jobId, index, epoch, slotId }) => ({ jobId, index, epoch, slotId }));
			const frame = helloOf(node.identity, connId, {
				bootId: String(node.boot),
				slots: slotsOf(node.traits.slots, node.traits.maxBatch),
				models: node.traits.models.map(sourcedModel),
				taskTypes: [...TASK_TYPES],
				diskFreeBytes: 1e12,
				running,
				finished: [...node.outbox.values()],
			});
			this.shell.run(`hello ${connId}`, 'hello', { connId, identity: node.identity, frame });
		});
	}

	#toPool(node: SimNode, connId: string, frame: WorkFrame): void {
		const { fates } = this;
		const name = this.serial(`${connId} up`);
		if (fates.fault('loss', `${name} ${frame.t}`, 0.02)) return;
		const copies = fates.fault('duplication', `${name} ${frame.t}`, 0.03) ? 2 : 1;
		for (let i = 0; i < copies; i++) {
			this.#deliver(`${name}${i === 0 ? '' : ' again'}`, `${connId} up`, () => {
				if (node.deafAt === null || node.connId !== connId) this.shell.run(`frame ${name}`, 'frame', { connId, frame });
			});
		}
	}

	#upload(node: SimNode, ref: GrantRef, attempt: string): CompleteOutcome | 'refused' | 'lost' {
		const { fates, cloud, shell } = this;
		const job = this.callers.submitted.get(ref.jobId)?.job;
		if (job === undefined) throw new Error(`nobody submitted ${ref.jobId}`);
		if (fates.fault('rpc', `${attempt} broken off`, 0.02)) return 'lost';
		const { nodeId } = node.identity;
		if (fates.fault('failures', `${attempt} refused`, 0.01)) {
			shell.run(`refused ${attempt}`, 'refused', { ...ref, ws: job.ws, nodeId, reason: 'simulated: not a picture' });
			return 'refused';
		}
		if (makesReport(typeOf(job))) return this.#report(node, job, ref, attempt);
		const sha256 = String(ref.epoch).padStart(64, 'e');
		const key = resultKey(job.ws, ref.jobId, ref.index, ref.epoch, sha256, 'png');
		const created = cloud.put(key);
		if (fates.fault('rpc', `${attempt} stored, pool not reached`, 0.02)) return 'lost';
		const image = { index: ref.index, key, epoch: ref.epoch, nodeId, contentType: 'image/png', bytes: 9, sha256 };
		const full = { ...image, width: 128, height: 128, seed: 1, at: shell.now };
		const outcome = this.#complete({ ws: job.ws, jobId: ref.jobId, index: ref.index, epoch: ref.epoch, nodeId, image: full }, attempt);
		if (outcome === undefined) return 'lost';
		if (outcome === 'accepted') this.watch.accept(ref, key);
		cloud.clean(full, ref.jobId, outcome, created);
		// The answer may be lost on its way: the node comes again.
		return fates.fault('rpc', `${attempt} answer lost`, 0.05) ? 'lost' : outcome;
	}

	/** A report goes up like a picture; the pool keeps it in the history. */
	#report(node: SimNode, job: PoolJob, ref: GrantRef, attempt: string): CompleteOutcome | 'lost' {
		const { fates, shell } = this;
		const { nodeId } = node.identity;
		const { jobId, index, epoch } = ref;
		const sha256 = String(epoch).padStart(64, 'e');
		const key = resultKey(job.ws, jobId, index, epoch, sha256, 'json');
		const report = { index, key, epoch, nodeId, sha256, at: shell.now, data: { epoch } };
		const reply = shell.run(`report ${attempt}`, 'report', { input: { ws: job.ws, jobId, index, epoch, nodeId, report } });
		if (reply === undefined) return 'lost';
		const over = reply === 'unknown' ? shell.settledJob(jobId) : undefined;
		const outcome =
			reply === 'unknown' ? (over?.tasks[index]?.report === key ? 'accepted' : this.cloud.isOpen(jobId) ? 'retry' : 'stale') : reply;
		if (outcome === 'accepted') this.watch.acceptReport(ref, key);
		return fates.fault('rpc', `${attempt} answer lost`, 0.05) ? 'lost' : outcome;
	}

	/** Asks the pool, then the row of a settled job, then the Workspace, as the pool's shell does. */
	#complete(input: CompleteInput, attempt: string): CompleteOutcome | undefined {
		const { jobId, index, image } = input;
		const reply = this.shell.run(`complete ${attempt}`, 'complete', { input });
		if (reply !== 'unknown') return reply;
		const over = this.shell.settledJob(jobId);
		if (over === undefined || over.tasks.length === 0) return this.cloud.ask(image, jobId);
		return over.tasks[index]?.image?.key === image.key ? 'accepted' : 'stale';
	}
}

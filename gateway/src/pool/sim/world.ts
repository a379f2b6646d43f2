/**
 * The simulator: the production core under virtual time, with nodes, Workspaces, callers and faults around it.
 * @module
 */
import { CLOSE, TIMING, isTerminal, newNodeId, resultKey, type GrantRef } from '@limner/shared';
import type { CompleteInput, CompleteOutcome, PoolJob, Settlement } from '../../rpc.ts';
import { toReconcile } from '../../workspace/sweep.ts';
import { taskKey, type Job, type Send, type StepResult, type WorkFrame } from '../model.ts';
import type { Survivors } from '../rows.ts';
import { Cloud } from './cloud.ts';
import { Fates, type FaultName } from './fates.ts';
import { helloOf, modelOf, slotsOf } from './fixtures.ts';
import { SimNode, type Ports } from './node.ts';
import { Clock } from './random.ts';
import { Shell } from './shell.ts';
import { planStorm } from './storm.ts';
import { MODELS, bytesOf, planJobs, workspacesFor, type PlannedJob } from './workload.ts';

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
/** A duplicate this late finds the job settled and its row gone. */
const VERY_LATE_MS = 400_000;

export class World {
	readonly clock = new Clock(START);
	readonly fates: Fates;
	readonly cloud = new Cloud();
	readonly shell: Shell;
	readonly nodes: SimNode[] = [];
	readonly submitted = new Map<string, PlannedJob>();
	readonly canceled = new Set<string>();
	grants = 0;
	/** Grants of several pictures at a time. */
	batches = 0;
	readonly conns = new Map<string, SimNode>();
	/** Keys that the pool has taken as results. */
	readonly accepted = new Map<string, string>();
	readonly #epochs = new Map<string, number>();
	readonly #serials = new Map<string, number>();
	readonly #lastArrival = new Map<string, number>();

	constructor(options: WorldOptions) {
		this.fates = new Fates(options.seed, options.faults, options.script, () => this.clock.now - START);
		this.shell = new Shell(
			{
				clock: this.clock,
				fates: this.fates,
				send: (send) => this.#send(send),
				committed: (result) => this.#committed(result),
				survivors: (hibernate) => this.#survivors(hibernate),
				pingAt: (connId) => {
					const node = this.conns.get(connId);
					return node?.connId === connId ? node.pingAt() + this.shell.skew : null;
				},
			},
			Math.min(1, 1000 / (options.nodes + options.tasks)) ** 1.3,
		);
		this.#addNodes(options);
		for (const planned of planJobs(this.fates, options)) this.clock.after(planned.atMs, () => this.#submit(planned));
		planStorm(this, options);
	}

	#addNodes(options: WorldOptions): void {
		const { clock, fates } = this;
		const workspaces = workspacesFor(options.nodes);
		const ports: Ports = {
			clock,
			fates,
			connect: (node) => this.#connect(node),
			say: (node, connId, frame) => this.#toPool(node, connId, frame),
			upload: (node, ref, attempt) => this.#upload(node, ref, attempt),
		};
		for (let i = 0; i < options.nodes; i++) {
			const label = `n${i}`;
			// The first node can do everything for everybody, so that every job can end.
			const trust = i === 0 || fates.roll(`${label} shared`) < 0.7 ? ('shared' as const) : ('own' as const);
			const ws = fates.pick(`${label} ws`, workspaces);
			const identity = { nodeId: newNodeId(START + i, bytesOf(fates, label)), ws, trust, name: label };
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

	#committed(result: StepResult): void {
		for (const send of result.sends) {
			if (send.kind !== 'task') continue;
			if (send.batch !== undefined) this.batches++;
			for (const each of [send, ...(send.batch ?? [])]) this.#granted(each);
		}
	}

	#granted({ job, index, epoch }: { job: Job; index: number; epoch: number }): void {
		const key = taskKey(job.id, index);
		if (this.canceled.has(job.id)) throw new Error(`invariant: ${key} was canceled and is granted`);
		if (!this.cloud.isOpen(job.id)) throw new Error(`invariant: ${key} is granted after its job was settled`);
		if (this.accepted.has(key)) throw new Error(`invariant: ${key} has its picture and is granted again`);
		if (epoch !== (this.#epochs.get(key) ?? 0) + 1) throw new Error(`invariant: ${key} jumps to epoch ${epoch}`);
		for (const id of job.spec.dependsOn ?? []) {
			const live = this.shell.state.jobs.get(id);
			const open = live === undefined ? this.cloud.isOpen(id) && !this.shell.knows(id) : !isTerminal('job', live.state);
			if (open) throw new Error(`invariant: ${key} is granted before ${id}, which it depends on, has ended`);
		}
		this.#epochs.set(key, epoch);
		this.grants++;
	}

	// ---- what the pool sends ----

	#send(send: Send): void {
		if (send.kind === 'settle') this.#settle(send.ws, send.batch);
		if (send.kind === 'close') {
			const node = this.conns.get(send.connId);
			if (send.code === CLOSE.banned && node !== undefined) node.banned = true;
			this.drop(send.connId);
		}
		if (send.kind !== 'task' && send.kind !== 'frame') return;
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
				models: node.traits.models.map(modelOf),
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
		const job = this.submitted.get(ref.jobId)?.job;
		if (job === undefined) throw new Error(`nobody submitted ${ref.jobId}`);
		if (fates.fault('rpc', `${attempt} broken off`, 0.02)) return 'lost';
		const { nodeId } = node.identity;
		if (fates.fault('failures', `${attempt} refused`, 0.01)) {
			shell.run(`refused ${attempt}`, 'refused', { ...ref, ws: job.ws, nodeId, reason: 'simulated: not a picture' });
			return 'refused';
		}
		const sha256 = String(ref.epoch).padStart(64, 'e');
		const key = resultKey(job.ws, ref.jobId, ref.index, ref.epoch, sha256, 'png');
		const created = cloud.put(key);
		if (fates.fault('rpc', `${attempt} stored, pool not reached`, 0.02)) return 'lost';
		const image = { index: ref.index, key, epoch: ref.epoch, nodeId, contentType: 'image/png', bytes: 9, sha256 };
		const full = { ...image, width: 128, height: 128, seed: 1, at: shell.now };
		const outcome = this.#complete({ ws: job.ws, jobId: ref.jobId, index: ref.index, epoch: ref.epoch, nodeId, image: full }, attempt);
		if (outcome === undefined) return 'lost';
		if (outcome === 'accepted') this.#noteAccepted(ref, key);
		cloud.clean(full, ref.jobId, outcome, created);
		// The answer may be lost on its way: the node comes again.
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

	#noteAccepted(ref: GrantRef, key: string): void {
		const place = taskKey(ref.jobId, ref.index);
		const before = this.accepted.get(place);
		if (before !== undefined && before !== key) throw new Error(`invariant: ${place} has two results: ${before} and ${key}`);
		if (ref.epoch !== this.#epochs.get(place))
			throw new Error(`invariant: ${place}: the result of epoch ${ref.epoch} was accepted after a later grant`);
		this.accepted.set(place, key);
	}

	// ---- callers ----

	#submit(planned: PlannedJob): void {
		const { job, label, cancelAfterMs, prioritize } = planned;
		const { fates, clock } = this;
		const wants = `${job.spec.n} × ${job.spec.model} for ${job.ws}, priority ${job.spec.priority}`;
		if (!fates.action(`submit ${label}`, wants)) return;
		job.createdAt = this.shell.now;
		job.spec.deadlineAt = this.shell.now + planned.deadlineMs;
		if (fates.fault('deadlines', label, 0.1))
			job.spec.deadlineAt = Math.round(this.shell.now + fates.between(`due ${label}`, 1000, 20_000));
		this.#connectGraph(planned);
		this.submitted.set(job.id, planned);
		this.cloud.submit(job);
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
		if (this.fates.roll(`${label} runs anyway`) < 0.3) job.spec.onDependencyFailure = 'run';
		if (this.fates.roll(`${label} takes the picture`) < 0.5) job.spec.initImage = { job: known[0] ?? '', index: 0 };
	}

	#handOver({ job, label }: PlannedJob): void {
		const { fates, clock, shell } = this;
		// What the Workspace knows at this moment goes with it; the shard may have forgotten it.
		if (job.spec.dependsOn !== undefined) job.deps = job.spec.dependsOn.flatMap((id) => this.cloud.known(id));
		const name = this.serial(`hand-over ${label}`);
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
		this.clock.after(TIMING.reconcileOpenMs + 1000, () => {
			if (!this.cloud.isOpen(job.id)) return;
			const asked = toReconcile([[job.id, job.createdAt]], this.shell.now);
			const planned = this.submitted.get(job.id);
			if (planned !== undefined && asked.length > 0 && !this.shell.knows(job.id)) this.#handOver(planned);
			this.#sweepLater(job, label);
		});
	}

	#prioritize({ job, label }: PlannedJob, priority: number): void {
		if (!this.fates.action(`prioritize ${label}`, String(priority))) return;
		const reply = this.shell.run(`prioritize ${label}`, 'prioritize', { ws: job.ws, jobId: job.id, priority, who: 'key:k' });
		if (reply?.ok !== true) return;
		const now = this.shell.state.jobs.get(job.id)?.spec.priority;
		// The pool may have died right after it answered: what was answered must have been written.
		if (now !== priority) throw new Error(`invariant: ${job.id} was told priority ${priority} and has ${now}`);
	}

	#cancel({ job, label }: PlannedJob): void {
		if (!this.fates.action(`cancel ${label}`, job.ws)) return;
		const reply = this.shell.run(`cancel ${label}`, 'cancel', {
			ws: job.ws,
			jobId: job.id,
			who: 'key:k',
			subtree: this.fates.roll(`cancel ${label} subtree`) < 0.3,
		});
		if (reply?.ok === true && reply.state === 'canceled') this.canceled.add(job.id);
	}
}

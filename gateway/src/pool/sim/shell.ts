/**
 * The pool's shell under virtual time: commits, alarm, short timer, eviction and rebuild, as pool.ts does them.
 * @module
 */
import { performance } from 'node:perf_hooks';
import { step } from '../core.ts';
import type { EventMap, EventType, PoolState, ReplyOf, Send, StepResult } from '../model.ts';
import { rebuild, type Survivors } from '../rows.ts';
import { packJob, packNode, unpackJob, type JobRowData, type NodeRowData, type PoolRowData } from '../pack.ts';
import type { Job } from '../model.ts';
import { FairWatch } from './fair.ts';
import type { Fates } from './fates.ts';
import { checkInvariants, checkTouched } from './invariants.ts';
import type { Clock } from './random.ts';
import { Timings } from './timings.ts';

const ALARM_FLOOR_MS = 1000;
const POKE_FLOOR_MS = 20;
/** Checking everything after every step is quadratic: worlds larger than this are checked whole only now and then. */
const SMALL_WORLD = 200;
/** In a large world a step pays for looking at so many jobs and nodes, besides those that it changed. */
const CHECKS_A_STEP = 4;
const COMPARE_EVERY = 7;

export interface ShellPorts {
	clock: Clock;
	fates: Fates;
	send(send: Send): void;
	/** Before anything is sent, and also when it never will be. */
	committed(result: StepResult): void;
	/** The pool's memory ended; with `hibernate` its sockets live on. */
	survivors(hibernate: boolean): Survivors;
	pingAt(connId: string): number | null;
}

export class Shell {
	state: PoolState;
	steps = 0;
	evictions = 0;
	readonly #evictionScale: number;
	/** How far the gateway's clock is ahead of virtual time. */
	skew = 0;
	/** Counts lives: what an older one had planned does not happen any more. */
	life = 0;
	readonly timings = new Timings();
	readonly rows = new Map<string, JobRowData>();
	readonly #nodeRows = new Map<string, NodeRowData>();
	readonly #poolRows = new Map<string, PoolRowData>();
	readonly #ports: ShellPorts;
	readonly #fair: FairWatch;
	/** Steps since everything was checked. */
	#unchecked = 0;
	#alarmAt: number | null = null;
	#alarmSerial = 0;
	#pokeAt: number | null = null;
	#ticks = 0;

	/** @param evictionScale a large world makes more commits, but no pool dies every second */
	constructor(ports: ShellPorts, evictionScale: number) {
		this.#evictionScale = evictionScale;
		this.#ports = ports;
		this.#fair = new FairWatch();
		this.state = this.#rebuilt({ nodes: [], pending: [], watched: [] });
	}

	/** The gateway's clock. */
	get now(): number {
		return this.#ports.clock.now + this.skew;
	}

	#rebuilt(survivors: Survivors): PoolState {
		const rows = structuredClone({
			jobs: [...this.rows.values()],
			nodes: [...this.#nodeRows.values()],
			pools: [...this.#poolRows.values()],
		});
		return rebuild(rows, survivors, this.now, { pingAt: (connId) => this.#ports.pingAt(connId) });
	}

	/** One event, one commit. `undefined` = the pool died before it, or before it could answer. */
	run<T extends EventType>(name: string, type: T, event: EventMap[T]): ReplyOf<T> | undefined {
		const { fates } = this.#ports;
		if (fates.fault('eviction', `before ${name}`, 0.002 * this.#evictionScale)) {
			this.evict(false);
			return undefined;
		}
		const { now } = this;
		const startedAt = performance.now();
		const result = step(this.state, { t: type, ...event }, now);
		this.timings.add(type, performance.now() - startedAt, result.sends);
		this.steps++;
		for (const job of result.writes.jobs) this.rows.set(job.id, packJob(job));
		for (const id of result.writes.deleted) this.rows.delete(id);
		for (const node of result.writes.nodes) this.#nodeRows.set(node.id, packNode(node));
		for (const ws of result.writes.pools) this.#poolRows.set(ws, { ws, data: JSON.stringify(this.state.pools.get(ws)) });
		this.#check(result, now);
		this.#arm(result.wakeAt);
		this.#ports.committed(result);
		if (fates.fault('eviction', `after ${name}`, 0.004 * this.#evictionScale)) {
			// Committed, and dead before anything was sent.
			this.evict(false);
			return undefined;
		}
		for (const send of result.sends) this.#ports.send(send);
		const soon = result.wakeAt !== undefined && result.wakeAt < this.now + ALARM_FLOOR_MS ? result.wakeAt : Number.POSITIVE_INFINITY;
		const pokeAt = Math.min(soon, result.pokeAt ?? Number.POSITIVE_INFINITY);
		this.#armPoke(Number.isFinite(pokeAt) ? Math.max(pokeAt, this.now + POKE_FLOOR_MS) : undefined);
		return result.reply;
	}

	#check(result: StepResult, now: number): void {
		const weight = this.state.jobs.size + this.state.nodes.size;
		checkTouched(this.state, result);
		this.#unchecked++;
		if (weight > SMALL_WORLD && this.#unchecked < weight / CHECKS_A_STEP) return;
		this.#unchecked = 0;
		checkInvariants(this.state, this.rows, result, now, this.steps % COMPARE_EVERY === 0);
		if (weight <= SMALL_WORLD) this.#fair.check(this.state, result.sends, now);
	}

	#arm(wakeAt: number | undefined): void {
		if (wakeAt === undefined) return;
		const at = Math.max(wakeAt, this.now + ALARM_FLOOR_MS);
		if (this.#alarmAt !== null && this.#alarmAt <= at) return;
		this.#alarmAt = at;
		this.#planAlarm(at);
	}

	#planAlarm(at: number): void {
		const serial = ++this.#alarmSerial;
		this.#ports.clock.after(at - this.now, () => {
			if (serial !== this.#alarmSerial) return;
			this.#alarmAt = null;
			this.tick();
		});
	}

	/** An alarm that stands in storage survives everything, on whatever clock the gateway has then. */
	jump(ms: number): void {
		this.skew += ms;
		if (this.#alarmAt !== null) this.#planAlarm(this.#alarmAt);
	}

	tick(): void {
		this.run(`tick ${++this.#ticks}`, 'tick', {});
	}

	#armPoke(pokeAt: number | undefined): void {
		if (pokeAt === undefined || (this.#pokeAt !== null && this.#pokeAt <= pokeAt)) return;
		this.#pokeAt = pokeAt;
		this.later(pokeAt - this.now, () => {
			if (this.#pokeAt !== pokeAt) return;
			this.#pokeAt = null;
			this.tick();
		});
	}

	/** Plans something that ends with the pool's memory. */
	later(ms: number, run: () => void): void {
		const { life } = this;
		this.#ports.clock.after(ms, () => {
			if (life === this.life) run();
		});
	}

	evict(hibernate: boolean): void {
		this.life++;
		this.evictions++;
		this.#pokeAt = null;
		this.state = this.#rebuilt(this.#ports.survivors(hibernate));
		this.#fair.reset();
		this.tick();
	}

	knows(jobId: string): boolean {
		return this.state.jobs.has(jobId) || this.state.settled.has(jobId);
	}

	/** A job that memory has let go of, from its row. */
	settledJob(jobId: string): Job | undefined {
		const row = this.state.settled.has(jobId) ? this.rows.get(jobId) : undefined;
		return row === undefined ? undefined : unpackJob(row);
	}
}

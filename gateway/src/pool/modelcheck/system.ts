/**
 * A whole small system as one value: the production pool with its rows, and models of nodes, sockets, Workspace and
 * bucket. Everything that happens is an event of the production `step()`; the Workspace decides with `decideSettle()`,
 * the results route with `leftover()`.
 *
 * Two things are not interleaved, because no party could tell the difference. A node says nothing between connect and
 * hello, so they are one event. What the pool says to a node arrives at once: a task that is lost on its way leaves the
 * same system as a node that is killed after it got it, and a cancel that comes too late is a picture that was finished
 * before the cancel. What nodes say to the pool travels for as long as it likes.
 * @module
 */
import { deserialize, serialize } from 'node:v8';
import { resultKey, type GatewayFrame, type GrantRef } from '@limner/shared';
import type { CompleteInput, CompleteOutcome, JobRow, PoolJob, Settlement } from '../../rpc.ts';
import { step } from '../core.ts';
import { nextFlushAt } from '../ending.ts';
import {
	taskKey,
	type EventMap,
	type EventType,
	type NodeIdentity,
	type PoolState,
	type ReplyOf,
	type Send,
	type StepResult,
	type WorkFrame,
} from '../model.ts';
import { rebuild, type Survivors } from '../rows.ts';
import { packJob, packNode, unpackJob, type JobRowData, type NodeRowData } from '../pack.ts';
import { Cloud } from '../sim/cloud.ts';
import { helloOf, sourcedModel, specOf } from '../sim/fixtures.ts';
import { checkInvariants } from '../sim/invariants.ts';

import { AGENT_TYPES, careSpecs, checkCareGrants, isReport, reportOf } from './care.ts';

export const START = 1_800_000_000_000;
/** So far away that no run reaches it: deadlines are the simulator's. */
export const FAR_MS = 1e9;
const ALARM_FLOOR_MS = 1000;
const WS = 'acme';

export interface ModelNode {
	identity: NodeIdentity;
	connId: string | null;
	serial: number;
	/** Its link has carried nothing since then and it has not noticed; null = it works. */
	deafAt: number | null;
	/** What it has said and the pool has not heard: in order, as TCP delivers; it dies with the connection. */
	up: WorkFrame[];
	running: (GrantRef & { slotId: string }) | null;
	/** On disk: survives the process. */
	outbox: GrantRef[];
}

export interface ModelJob {
	job: PoolJob;
	handed: boolean;
	cancelTold: boolean;
}

/** Plain data but for `pool.readings`, so that it can be copied. */
export interface System {
	pool: PoolState;
	now: number;
	alarmAt: number | null;
	pokeAt: number | null;
	rows: Map<string, JobRowData>;
	nodeRows: Map<string, NodeRowData>;
	nodes: ModelNode[];
	jobs: ModelJob[];
	/** Settle calls that the pool waits for. A pool that died waits for nothing. */
	settles: { batch: Settlement[]; alive: boolean }[];
	work: Map<string, JobRow>;
	objects: Set<string>;
	epochs: Map<string, number>;
	accepted: Map<string, string>;
	faults: number;
	/** Tasks look after the pool instead of making pictures. */
	care: boolean;
}

const readingsOf = (system: Pick<System, 'now' | 'nodes'>): PoolState['readings'] => ({
	pingAt: (connId) => {
		const node = system.nodes.find((each) => each.connId === connId);
		return node === undefined ? null : (node.deafAt ?? system.now);
	},
});

/** A system as bytes: the frontier holds a hundred thousand of them. */
export const freeze = (system: System): Buffer => {
	const { readings: _, ...pool } = system.pool;
	return serialize({ ...system, pool });
};

export const thaw = (bytes: Buffer): System => {
	const system = deserialize(bytes) as System;
	system.pool.readings = readingsOf(system);
	return system;
};

const idOf = (kind: string, i: number): string => `${kind}_${'0'.repeat(25)}${i}`;

export const initial = (nodes: number, tasks: number, faults: number, care: boolean): System => {
	const deadlineFrom = START + 2 * FAR_MS - 3_600_000;
	const nodeIds = Array.from({ length: nodes }, (_, i) => idOf('node', i));
	const specs = care ? careSpecs(deadlineFrom, nodeIds) : Array.from({ length: tasks }, () => specOf(deadlineFrom));
	const system: System = {
		pool: rebuild({ jobs: [], nodes: [] }, { nodes: [], pending: [], watched: [] }, START, { pingAt: () => null }),
		now: START,
		alarmAt: null,
		pokeAt: null,
		rows: new Map(),
		nodeRows: new Map(),
		nodes: nodeIds.map((nodeId, i) => ({
			identity: { nodeId, ws: WS, trust: 'shared' as const, name: `n${i}` },
			connId: null,
			serial: 0,
			deafAt: null,
			up: [],
			running: null,
			outbox: [],
		})),
		jobs: specs.slice(0, tasks).map((spec, i) => ({
			job: {
				id: idOf('job', i),
				ws: WS,
				weight: 1,
				spec,
				createdAt: START + i,
				warnings: [],
				keyId: 'k',
			},
			handed: false,
			cancelTold: false,
		})),
		settles: [],
		work: new Map(),
		objects: new Set(),
		epochs: new Map(),
		accepted: new Map(),
		faults,
		care,
	};
	system.pool.readings = readingsOf(system);
	for (const { job } of system.jobs) withCloud(system, (cloud) => cloud.submit(job));
	for (const node of system.nodes) join(system, node, false);
	return system;
};

/** The Workspace and bucket of the simulator, on this system's rows. */
export const withCloud = <R>(system: System, act: (cloud: Cloud) => R): R => {
	const cloud = new Cloud();
	for (const [id, row] of system.work) cloud.rows.set(id, row);
	for (const key of system.objects) cloud.objects.add(key);
	const answer = act(cloud);
	system.work = cloud.rows;
	system.objects = cloud.objects;
	return answer;
};

const must = (holds: boolean, text: () => string): void => {
	if (!holds) throw new Error(`invariant: ${text()}`);
};

const noteGrants = (system: System, sends: readonly Send[], source: PoolState['source']): void => {
	checkCareGrants(system, sends, source);
	for (const send of sends) {
		if (send.kind !== 'task') continue;
		const key = taskKey(send.job.id, send.index);
		must(system.work.get(send.job.id)?.state === 'queued', () => `${key} is granted after its job was settled`);
		must(!system.accepted.has(key), () => `${key} has its picture and is granted again`);
		must(send.epoch === (system.epochs.get(key) ?? 0) + 1, () => `${key} jumps to epoch ${send.epoch}`);
		system.epochs.set(key, send.epoch);
	}
};

const deliver = (system: System, send: Send): void => {
	if (send.kind === 'settle') {
		system.settles.push({ batch: send.batch, alive: true });
		return;
	}
	if (!('connId' in send)) return;
	const node = system.nodes.find((each) => each.connId === send.connId);
	if (node === undefined) return;
	if (send.kind === 'close') hangUp(node);
	else if (node.deafAt !== null) return;
	else if (send.kind === 'task') {
		const { job, index, epoch, slotId } = send;
		node.running = { jobId: job.id, index, epoch, slotId };
		say(node, { t: 'ack', jobId: job.id, index, epoch, slotId });
	} else if (send.kind === 'frame') hear(node, send.frame);
};

const isSame = (a: GrantRef, b: GrantRef): boolean => a.jobId === b.jobId && a.index === b.index && a.epoch === b.epoch;

export const bareOf = ({ jobId, index, epoch }: GrantRef): GrantRef => ({ jobId, index, epoch });

export const say = (node: ModelNode, frame: WorkFrame): void => {
	if (node.connId !== null && node.deafAt === null) node.up.push(frame);
};

const stop = (node: ModelNode, ref: GrantRef, tell: boolean): void => {
	const work = node.running;
	if (work === null || !isSame(work, ref)) return;
	node.running = null;
	if (tell) say(node, { t: 'failed', ...bareOf(work), slotId: work.slotId, class: 'engine', message: 'canceled' });
};

const hear = (node: ModelNode, frame: GatewayFrame): void => {
	if (frame.t === 'cancel') stop(node, frame, true);
	if (frame.t === 'welcome') for (const ref of frame.drop) stop(node, ref, false);
};

/** A node behind a dead link does not hear that its connection was closed. */
export const hangUp = (node: ModelNode): void => {
	if (node.deafAt !== null) return;
	node.connId = null;
	node.up = [];
};

/** What only grows and nobody decides by is cut, so that equal situations are equal states. */
const trim = (system: System): void => {
	for (const job of system.pool.jobs.values()) {
		job.hist = [];
		job.rev = 0;
	}
	system.pool.dispatchMs = [];
};

/** Rows and alarm, as the shell writes them in one block. */
const commit = (system: System, result: StepResult): void => {
	trim(system);
	for (const job of result.writes.jobs) system.rows.set(job.id, packJob(job));
	for (const id of result.writes.deleted) system.rows.delete(id);
	for (const node of result.writes.nodes) system.nodeRows.set(node.id, packNode(node));
	// Rows that were not written now have the history that was cut above.
	for (const job of system.pool.jobs.values()) {
		const row = system.rows.get(job.id);
		if (row !== undefined) system.rows.set(job.id, { ...row, rev: 0, hist: '[]' });
	}
	checkInvariants(system.pool, system.rows, result, system.now, true);
	if (result.wakeAt !== undefined) {
		const at = Math.max(result.wakeAt, system.now + ALARM_FLOOR_MS);
		if (system.alarmAt === null || system.alarmAt > at) system.alarmAt = at;
	}
};

/**
 * One event, one commit.
 * @param dies the pool dies after the commit, before anything was sent
 */
export const pool = <T extends EventType>(system: System, type: T, event: EventMap[T], dies: boolean): ReplyOf<T> | undefined => {
	const source = system.pool.source === null ? null : { ...system.pool.source };
	const result = step(system.pool, { t: type, ...event }, system.now);
	commit(system, result);
	noteGrants(system, result.sends, source);
	if (dies) {
		evict(system, false);
		return undefined;
	}
	for (const send of result.sends) deliver(system, send);
	// When rows of nodes are written for what they have done is left out: nobody decides by it.
	const pokeAt = nextFlushAt(system.pool);
	if (pokeAt !== undefined) system.pokeAt = Math.min(pokeAt, system.pokeAt ?? Number.POSITIVE_INFINITY);
	return result.reply;
};

/** The pool's memory ends and is rebuilt from its rows; with `hibernate` its sockets live on. */
export const evict = (system: System, hibernate: boolean): void => {
	const survivors: Survivors = { nodes: [], pending: [], watched: [] };
	for (const node of system.nodes) {
		const { connId, identity } = node;
		if (connId === null) continue;
		if (hibernate && system.pool.connNode.has(connId))
			survivors.nodes.push({ connId, nodeId: identity.nodeId, bootId: 'b', at: system.now });
		else hangUp(node);
	}
	for (const settle of system.settles) settle.alive = false;
	system.pokeAt = null;
	const rows = { jobs: [...system.rows.values()], nodes: [...system.nodeRows.values()] };
	system.pool = rebuild(rows, survivors, system.now, readingsOf(system));
	pool(system, 'tick', {}, false);
};

/** Connects a node. It says nothing between connect and hello, so both are one event here. */
export const join = (system: System, node: ModelNode, dies: boolean): void => {
	const connId = `${node.identity.name}.${++node.serial}`;
	node.connId = connId;
	node.up = [];
	pool(system, 'connect', { connId }, false);
	const running = node.running === null ? [] : [node.running];
	const offer = system.care ? { taskTypes: AGENT_TYPES, models: [sourcedModel('storybook')] } : {};
	pool(
		system,
		'hello',
		{ connId, identity: node.identity, frame: helloOf(node.identity, connId, { running, finished: node.outbox, ...offer }) },
		dies,
	);
};

/** One upload: store, complete, clean. `undefined` = no answer came back. */
export const upload = (system: System, node: ModelNode, ref: GrantRef, dies: boolean): CompleteOutcome | undefined => {
	const mine = system.jobs.find(({ job }) => job.id === ref.jobId);
	if (mine !== undefined && isReport(mine.job)) return uploadReport(system, node, ref, dies);
	const { nodeId } = node.identity;
	const sha256 = String(ref.epoch).padStart(64, 'e');
	const key = resultKey(WS, ref.jobId, ref.index, ref.epoch, sha256, 'png');
	const created = withCloud(system, (cloud) => cloud.put(key));
	const bare = { index: ref.index, key, epoch: ref.epoch, nodeId, contentType: 'image/png', bytes: 9, sha256 };
	const image = { ...bare, width: 128, height: 128, seed: 1, at: START };
	const input: CompleteInput = { ws: WS, jobId: ref.jobId, index: ref.index, epoch: ref.epoch, nodeId, image };
	const reply = pool(system, 'complete', { input }, dies);
	if (reply === undefined) return undefined;
	const outcome = reply === 'unknown' ? askElsewhere(system, input) : reply;
	if (outcome === 'accepted') noteAccepted(system, ref, key);
	withCloud(system, (cloud) => cloud.clean(image, ref.jobId, outcome, created));
	return outcome;
};

const noteAccepted = (system: System, ref: GrantRef, key: string): void => {
	const place = taskKey(ref.jobId, ref.index);
	const before = system.accepted.get(place) ?? key;
	must(before === key, () => `${place} has two results`);
	must(ref.epoch === system.epochs.get(place), () => `${place}: epoch ${ref.epoch} was accepted after a later grant`);
	system.accepted.set(place, key);
};

/** A report goes up like a picture; the pool keeps it. */
const uploadReport = (system: System, node: ModelNode, ref: GrantRef, dies: boolean): CompleteOutcome | undefined => {
	const { key, input, elsewhere } = reportOf(system, node, WS, ref);
	const reply = pool(system, 'report', { input }, dies);
	if (reply === undefined) return undefined;
	const outcome = reply === 'unknown' ? elsewhere() : reply;
	if (outcome === 'accepted') noteAccepted(system, ref, key);
	return outcome;
};

const askElsewhere = (system: System, { jobId, index, image }: CompleteInput): CompleteOutcome => {
	const row = system.pool.settled.has(jobId) ? system.rows.get(jobId) : undefined;
	const over = row === undefined ? undefined : unpackJob(row);
	if (over === undefined || over.tasks.length === 0) return withCloud(system, (cloud) => cloud.ask(image, jobId));
	return over.tasks[index]?.image?.key === image.key ? 'accepted' : 'stale';
};

/** Everything is over: each job ended at its Workspace, and the pool remembers nothing but rows to delete. */
export const isDone = (system: System): boolean =>
	system.pool.jobs.size === 0 && [...system.work.values()].every((row) => row.state !== 'queued');

/** What must hold of the Workspace's rows at any time. */
export const checkWork = (system: System): void => {
	for (const [id, row] of system.work) {
		for (const image of row.images) must(system.objects.has(image.key), () => `the object of ${id}/${image.index} is gone`);
		const report = isReport(row);
		const results = report ? [...system.accepted.keys()].filter((place) => place.startsWith(`${id}/`)).length : row.images.length;
		must(row.state !== 'succeeded' || results <= row.spec.n, () => `${id} has too many results`);
		must(row.state !== 'succeeded' || report || results === row.spec.n, () => `${id} succeeded with a picture missing`);
		if (report) continue;
		const key = system.accepted.get(taskKey(id, 0));
		if (key === undefined || row.state === 'queued') continue;
		must(row.images[0]?.key === key, () => `${id} was accepted and lost`);
	}
};

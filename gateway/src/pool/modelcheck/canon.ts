/**
 * What makes two systems the same situation. What nobody decides by is left out: history, counters, status lines, fairness
 * tags (there is one workspace). The rest is reduced further.
 *
 * - Nodes that differ by name only are the same: of the orders in which they can be listed, the smallest text counts.
 * - Measurements are left out: the engines are as fast as the pool expects them to be before it has measured.
 * - Times are what is left until they come, in whole seconds: that a picture was finished a tenth of a second earlier
 *   makes no other situation. Of past times only that they are past counts.
 * - A timer may stand earlier than its deadline; it fires, looks, and stands again. So of timers only which stand counts
 *   (the invariants check that none stands too late), and time passes to the next tick that changes something.
 * - When every job has ended, only what can still be answered counts: late uploads, and rows that are left.
 * @module
 */
import { TIMING } from '@limner/shared';
import type { Job, PoolNode, Task } from '../model.ts';
import { lastSeen } from '../placement.ts';
import { isDone, type ModelNode, type System } from './system.ts';

/** How texts name nodes, and how they tell a time that is so many milliseconds away. */
interface Style {
	names: ReadonlyMap<string, string>;
	away: (ms: number) => number;
}

const inSeconds = (ms: number): number => (ms <= 0 ? 0 : ms === Number.POSITIVE_INFINITY ? -1 : Math.ceil(ms / 1000));
const comesOrNot = (ms: number): number => (ms <= 0 ? 0 : 1);

const until = (system: System, style: Style, at: number | null): number | null => (at === null ? null : style.away(at - system.now));

const taskText = (system: System, style: Style, task: Task): unknown => {
	const { run } = task;
	const holder = task.nodeId === null ? 0 : style.names.get(task.nodeId);
	const base = [task.state, task.epoch, holder, task.losses, task.queued, until(system, style, task.retryAt)];
	const fails = task.fails.map((fail) => [fail.class, style.names.get(fail.nodeId ?? '')]);
	if (run === null) return [base, fails, task.image?.epoch, ...(task.report === null ? [] : ['report'])];
	const { acked, generated, lossCounts } = run;
	const times = [run.ackBy, run.leaseUntil, run.orphanAt].map((at) => until(system, style, at));
	return [base, fails, acked, generated, lossCounts, times];
};

const jobText = (system: System, style: Style, job: Job | undefined): unknown =>
	job === undefined
		? 0
		: [job.state, job.error?.class, ...targetsOf(style, job), ...job.tasks.map((task) => taskText(system, style, task))];

/** Whom a job is meant for: nodes are the same but for this. */
const targetsOf = (style: Style, { spec }: Pick<Job, 'spec'>): unknown[] =>
	spec.nodeId === undefined ? [] : [style.names.get(spec.nodeId), style.names.get(spec.params?.from ?? '')];

const poolNodeText = (system: System, style: Style, node: PoolNode | undefined, model: ModelNode): unknown => {
	if (node === undefined) return 0;
	const { now, pool } = system;
	const places = node.service === null ? [...node.slots.values()] : [...node.slots.values(), node.service];
	const slots = places.map(({ grant, stopping }) => [
		grant,
		stopping !== null && stopping.until > now ? [stopping.key, stopping.epoch] : 0,
	]);
	const conn = node.conn === null ? 0 : node.conn.id === model.connId ? 1 : 2;
	// A node that pings was seen now; of a silent one it counts how long it will still be believed.
	const believed = node.conn === null ? 0 : style.away(lastSeen(pool, node) + TIMING.suspectMs - now);
	const trusted = node.conn === null ? 0 : style.away(lastSeen(pool, node) + TIMING.candidateSeenMs - now);
	const excluded = until(system, style, node.excludedUntil);
	return [node.mode, conn, believed, trusted, excluded, [...node.grants].toSorted(), slots];
};

/** After an eviction the younger of two grants of one slot is taken for the one that runs. */
const grantedOrder = (system: System, jobId: string): number => {
	const mine = system.pool.jobs.get(jobId)?.tasks[0];
	if (mine === undefined || mine.state !== 'leased') return 0;
	for (const other of system.pool.jobs.values()) {
		const task = other.tasks[0];
		if (other.id !== jobId && task?.state === 'leased' && task.nodeId === mine.nodeId) return Math.sign(mine.grantedAt - task.grantedAt);
	}
	return 0;
};

const modelText = (node: ModelNode): unknown => [node.connId !== null, node.deafAt !== null, node.up, node.running, node.outbox];

/** What can be asked from outside. */
const outsideText = (system: System, style: Style): unknown => [
	system.jobs.map(({ job, handed, cancelTold }) => [
		...targetsOf(style, job),
		handed,
		cancelTold,
		system.pool.settled.has(job.id),
		system.rows.has(job.id),
		[system.work.get(job.id)?.state, system.work.get(job.id)?.images.map((image) => image.epoch)],
		...(job.spec.n === 1 ? [system.accepted.has(`${job.id}/0`)] : [0, 1].map((index) => system.accepted.has(`${job.id}/${index}`))),
	]),
	[...system.objects].toSorted(),
	system.settles.map(({ batch, alive }) => [alive, batch.map(({ jobId, state }) => [jobId, state])]),
];

/** A key with nodes named as this style does. */
const named = (style: Style, key: string): string => {
	let text = key;
	for (const [id, name] of style.names) text = text.replaceAll(id, name);
	return text;
};

const poolText = (system: System, style: Style): unknown => {
	const { pool } = system;
	const jobs = system.jobs.map(({ job }) => [
		jobText(system, style, pool.jobs.get(job.id)),
		system.epochs.get(`${job.id}/0`),
		grantedOrder(system, job.id),
	]);
	const outbox = [...pool.outbox.values()].map(({ ids, inFlight, flushAt, tries }) => [
		[...ids],
		[...inFlight],
		until(system, style, flushAt),
		tries,
	]);
	// Of equal slots the one that stands first is taken.
	const free = [...pool.lanes.pens.values()]
		.filter(({ slots }) => slots.size > 0)
		.map(({ key, slots }) => [named(style, key), ...[...slots].map((slot) => style.names.get(slot.node.id))].join(' '))
		.toSorted();
	const aside = [...pool.aside.keys()].map((slot) => style.names.get(slot.node.id) ?? '').toSorted((a, b) => (a < b ? -1 : 1));
	const parked = [...pool.lanes.parked].map(({ key }) => named(style, key)).toSorted();
	const source = pool.source === null ? 0 : [until(system, style, pool.source.retryAt), pool.source.tries];
	const timers = [...pool.timers.armed.keys()]
		.filter((key) => key !== 'sweep')
		.map((key) => (/^[na]:/.test(key) ? `${key.slice(0, 2)}${style.names.get(key.slice(2))}` : key))
		.toSorted();
	return [jobs, outbox, free, aside, parked, source, timers, system.pokeAt !== null, system.alarmAt !== null];
};

const textIn = (system: System, order: readonly ModelNode[], away: Style['away']): string => {
	const style: Style = { names: new Map(order.map((node, i) => [node.identity.nodeId, `n${i}`])), away };
	const nodes = order.map(modelText);
	if (isDone(system)) return JSON.stringify(['done', nodes, outsideText(system, style)]);
	const inPool = order.map((node) => poolNodeText(system, style, system.pool.nodes.get(node.identity.nodeId), node));
	return JSON.stringify([nodes, inPool, outsideText(system, style), poolText(system, style), system.faults]);
};

const ordersOf = (nodes: readonly ModelNode[]): ModelNode[][] =>
	nodes.length <= 1
		? [[...nodes]]
		: nodes.flatMap((first) => ordersOf(nodes.filter((node) => node !== first)).map((rest) => [first, ...rest]));

/** Equal for equal situations, whatever the nodes are called. */
export const canonical = (system: System): string => {
	let least: string | undefined;
	for (const order of ordersOf(system.nodes)) {
		const text = textIn(system, order, inSeconds);
		if (least === undefined || text < least) least = text;
	}
	return least ?? '';
};

/** The situation but for how far away times are: unchanged by a tick that did nothing. */
export const timeless = (system: System): string => textIn(system, system.nodes, comesOrNot);

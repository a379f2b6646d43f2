/**
 * What would make a job possible that no node can take: for the caller who waits, in words that name the thing to do.
 * @module
 */
import { isChore } from '@limner/shared';
import { typeOf, type Job, type PoolNode, type PoolState, type Task } from './model.ts';
import { nodesFor } from './owners.ts';
import { memoryOf, oomMemory, slotRefusal } from './placement.ts';

const REMEDIES_MAX = 5;
/** In a large pool the first nodes tell enough. */
const NODES_LOOK = 200;
const GIB = 1024 ** 3;

const nameOf = (node: PoolNode, ws: string): string => (node.ws === ws ? `the node ${node.name}` : 'a shared node');

/** Whether everything but its mode or its link lets a node take the task. */
const wouldTake = (state: PoolState, now: number, node: PoolNode, job: Job, task: Task): boolean => {
	const asIf: PoolNode = {
		...node,
		mode: 'active',
		conn: node.conn ?? { id: '', bootId: '', at: now, lastFrameAt: now },
		excludedUntil: 0,
	};
	const slots = isChore(typeOf(job)) ? (node.service === null ? [] : [node.service]) : [...node.slots.values()];
	return slots.some((slot) => {
		const refusal = slotRefusal(state, now, { ...slot, node: asIf }, job, task);
		return refusal === null || refusal.temporary;
	});
};

const ofNode = (state: PoolState, now: number, node: PoolNode, job: Job, task: Task): string | undefined => {
	if (!wouldTake(state, now, node, job, task)) return undefined;
	if (node.mode === 'paused' || node.mode === 'draining')
		return `resume ${nameOf(node, job.ws)}, which is ${node.mode}${node.ws === job.ws && node.modeReason !== null ? ` (${node.modeReason})` : ''}`;
	if (node.conn === null) return `start ${nameOf(node, job.ws)} again: it has what is needed and is offline`;
	return undefined;
};

/** Of a node that would have to be found: for tasks that are no pictures. */
const careRemedy = (nodes: readonly PoolNode[], job: Job): string[] => {
	const type = typeOf(job);
	const offered = nodes.some((node) => node.ws === job.ws && node.taskTypes.includes(type));
	return offered ? [] : [`start a node of this workspace that does ${type} tasks`];
};

/** Where a model comes from, as nodes tell that work for the workspace: others are none of its business. */
const sourceOfModel = (state: PoolState, ws: string, name: string): string | undefined => {
	for (const { models } of nodesFor(state, ws)) {
		const source = models.find((model) => model.name === name)?.source;
		if (source !== undefined) return source;
	}
	return undefined;
};

const modelRemedy = (state: PoolState, { ws, spec: { model } }: Job): string[] => {
	const source = sourceOfModel(state, ws, model);
	const pull = source === undefined ? '' : `, or have one pull it: {"taskType":"INGEST","source":"${source}"}`;
	return [`start a node that has the model ${model}${pull}`];
};

const memoryRemedy = (holders: readonly PoolNode[], task: Task): string[] => {
	const oom = oomMemory(task);
	const most = Math.max(0, ...holders.flatMap((node) => [...node.slots.values()].map(memoryOf)));
	if (oom < 0 || most > oom) return [];
	return [`make a smaller picture, or start a node with more than ${(oom / GIB).toFixed(1)} GiB of memory`];
};

const requestRemedy = (holders: readonly PoolNode[], { spec }: Job): string[] => {
	const infos = holders.flatMap((node) => node.models.filter((model) => model.name === spec.model));
	if (!infos.some((info) => info.operations.includes(spec.task))) return [`use a model that can do ${spec.task}; ${spec.model} cannot`];
	const [multiple = 8] = infos.map((info) => info.sizeMultiple).toSorted((a, b) => a - b);
	return spec.width % multiple === 0 && spec.height % multiple === 0 ? [] : [`choose a size in multiples of ${multiple}`];
};

/** Remedies that fit any pool. */
const general = (state: PoolState, nodes: readonly PoolNode[], job: Job, task: Task): string[] => {
	if (nodes.length === 0) return ['start a node with `limner node`'];
	const type = typeOf(job);
	const care = type === 'GENERAL' ? [] : careRemedy(nodes, job);
	if (care.length > 0 || isChore(type)) return care;
	const holders = nodes.filter((node) => node.models.some((model) => model.name === job.spec.model));
	if (holders.length === 0) return modelRemedy(state, job);
	const request = requestRemedy(holders, job);
	return request.length > 0 ? request : memoryRemedy(holders, task);
};

/** What to do, most effective first: a node that is there before one that would have to be found. */
export const remediesFor = (state: PoolState, now: number, job: Job, task: Task): string[] => {
	const nodes: PoolNode[] = [];
	for (const node of nodesFor(state, job.ws)) {
		if (nodes.length === NODES_LOOK) break;
		if (node.mode !== 'terminated') nodes.push(node);
	}
	const found = nodes.flatMap((node) => ofNode(state, now, node, job, task) ?? []);
	return [...new Set([...found, ...general(state, nodes, job, task)])].slice(0, REMEDIES_MAX);
};

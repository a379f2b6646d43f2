/**
 * What would make a job possible that no node can take: for the caller who waits, in words that name the thing to do.
 * @module
 */
import { isChore } from '@limner/shared';
import { targetOf } from './care.ts';
import { typeOf, type Job, type PoolNode, type PoolState, type Task } from './model.ts';
import { kindsServing, type Kind } from './census.ts';
import { kindsFor, mayTake, oomMemory, slotRefusal } from './placement.ts';
import { placesFor } from './tally.ts';

const REMEDIES_MAX = 5;
/** In a large pool the first kinds of nodes tell enough, and of a kind the first nodes. */
const LOOKS_MAX = 200;
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
	return [...placesFor(node, job)].some((slot) => mayTake(slotRefusal(state, now, { ...slot, node: asIf }, job, task)));
};

const isThere = ({ mode, conn }: PoolNode): boolean => mode === 'active' && conn !== null;

const ofNode = (state: PoolState, now: number, node: PoolNode, job: Job, task: Task): string | undefined => {
	if (isThere(node) || !wouldTake(state, now, node, job, task)) return undefined;
	if (node.mode === 'paused' || node.mode === 'draining')
		return `resume ${nameOf(node, job.ws)}, which is ${node.mode}${node.ws === job.ws && node.modeReason !== null ? ` (${node.modeReason})` : ''}`;
	return `start ${nameOf(node, job.ws)} again: it has what is needed and is offline`;
};

const firstOf = <T>(all: Iterable<T>, most: number): T[] => {
	const found: T[] = [];
	for (const each of all) if (found.push(each) >= most) break;
	return found;
};

/** A node of each kind, which speaks for all of it. */
const speakers = (kinds: Iterable<Kind>): PoolNode[] => [...kinds].flatMap(({ nodes }) => firstOf(nodes, 1));

/** Of a node that would have to be found: for tasks that are no pictures. */
const careRemedy = (nodes: readonly PoolNode[], job: Job): string[] => {
	const type = typeOf(job);
	return nodes.some((node) => node.taskTypes.includes(type)) ? [] : [`start a node of this workspace that does ${type} tasks`];
};

/** Where a model comes from, as nodes tell that work for the workspace: others are none of its business. */
const sourceOfModel = (state: PoolState, ws: string, name: string): string | undefined => {
	for (const kinds of kindsServing(state, ws)) {
		for (const { models } of speakers(kinds.values())) {
			const source = models.find((model) => model.name === name)?.source;
			if (source !== undefined) return source;
		}
	}
	return undefined;
};

const modelRemedy = (state: PoolState, { ws, spec: { model } }: Job): string[] => {
	const source = sourceOfModel(state, ws, model);
	const pull = source === undefined ? '' : `, or have one pull it: {"taskType":"INGEST","source":"${source}"}`;
	return [`start a node that has the model ${model}${pull}`];
};

const memoryRemedy = (holders: readonly Kind[], task: Task): string[] => {
	const oom = oomMemory(task);
	const most = Math.max(0, ...holders.flatMap(({ counts }) => [...counts.keys()]));
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
const general = (state: PoolState, kinds: readonly Kind[], job: Job, task: Task): string[] => {
	const nodes = speakers(kinds);
	const type = typeOf(job);
	if (nodes.length === 0 && type === 'GENERAL') return ['start a node with `limner node`'];
	const care = type === 'GENERAL' ? [] : careRemedy(nodes, job);
	if (care.length > 0 || isChore(type)) return care;
	const holds = (node: PoolNode): boolean => node.models.some((model) => model.name === job.spec.model);
	const holders = nodes.filter(holds);
	if (holders.length === 0) return modelRemedy(state, job);
	const request = requestRemedy(holders, job);
	return request.length > 0
		? request
		: memoryRemedy(
				kinds.filter((kind) => speakers([kind]).some(holds)),
				task,
			);
};

/** Nodes of a kind that may have to be named: where memory matters they differ, so more are looked at. */
const named = (state: PoolState, kind: Kind, job: Job, task: Task): PoolNode[] => {
	const target = targetOf(job, task);
	if (target === undefined) return firstOf(kind.nodes, oomMemory(task) < 0 ? REMEDIES_MAX : LOOKS_MAX);
	const node = state.nodes.get(target);
	return node !== undefined && kind.nodes.has(node) ? [node] : [];
};

/** What to do, most effective first: a node that is there before one that would have to be found. */
export const remediesFor = (state: PoolState, now: number, job: Job, task: Task): string[] => {
	const all = kindsFor(state, job).flatMap((kinds) => firstOf(kinds.values(), LOOKS_MAX));
	const kinds = all.filter((kind) => speakers([kind]).some(({ mode }) => mode !== 'terminated'));
	const away = kinds.filter((kind) => speakers([kind]).some((node) => !isThere(node)));
	const found = away.flatMap((kind) => named(state, kind, job, task).flatMap((node) => ofNode(state, now, node, job, task) ?? []));
	return [...new Set([...found, ...general(state, kinds, job, task)])].slice(0, REMEDIES_MAX);
};

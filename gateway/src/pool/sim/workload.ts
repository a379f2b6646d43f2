/**
 * Who wants what in a simulated world.
 * @module
 */
import { newJobId, newNodeId, type JobSpec, type TaskType } from '@limner/shared';
import type { PoolJob } from '../../rpc.ts';
import type { Fates } from './fates.ts';
import { specOf } from './fixtures.ts';

const START = 1_800_000_000_000;
export const MODELS = ['storybook', 'sdxl'] as const;
const WORKSPACES = ['acme', 'bolt', 'cork'] as const;
const LARGE = 100;
const DEPEND_SHARE = 0.35;
/** Jobs are wired to one of so many before them. */
const NEAR = 12;
const CANCEL_SHARE = 0.05;
const PRIORITIZE_SHARE = 0.1;
/** Longer than any storm and the calm after it. */
const DEADLINE_MS = 3_600_000;

export interface PlannedJob {
	label: string;
	job: PoolJob;
	/** When it is submitted, in milliseconds from the start. */
	atMs: number;
	deadlineMs: number;
	cancelAfterMs?: number;
	/** It gets another priority so long after the submit. */
	prioritize?: { afterMs: number; to: number };
	/** Ids of jobs that it would like to wait for. */
	dependsOn: string[];
}

export const bytesOf = (fates: Fates, name: string): Uint8Array =>
	Uint8Array.from({ length: 10 }, (_, i) => Math.floor(fates.roll(`${name} byte ${i}`) * 256));

/** A large pool serves more tenants. */
export const workspacesFor = (nodes: number): readonly string[] =>
	nodes < LARGE ? WORKSPACES : Array.from({ length: 20 }, (_, i) => `ws${i}`);

const CARE_SHARE = 0.1;
const CARE: readonly TaskType[] = ['DISCOVERY', 'MIGRATION', 'MIGRATION', 'INGEST', 'RESEARCH', 'HEARTBEAT'];
/** What is meant for one node may never find it again; it ends before the calm does. */
const CARE_DEADLINE_MS = 300_000;

/** Identity of the i-th node. */
export const nodeIdOf = (fates: Fates, i: number): string => newNodeId(START + i, bytesOf(fates, `n${i}`));
export const nodeWsOf = (fates: Fates, i: number, nodes: number): string => fates.pick(`n${i} ws`, workspacesFor(nodes));

/** A task that looks after the pool, now and then. */
const careOf = (fates: Fates, label: string, ws: string, nodes: number): Partial<JobSpec> | undefined => {
	if (fates.roll(`${label} cares`) >= CARE_SHARE) return undefined;
	const own = Array.from({ length: Math.min(nodes, LARGE) }, (_, i) => i).filter((i) => nodeWsOf(fates, i, nodes) === ws);
	if (own.length === 0) return undefined;
	const [to, from] = [fates.pick(`${label} to`, own), fates.pick(`${label} from`, own)].map((i) => nodeIdOf(fates, i));
	const taskType = fates.pick(`${label} type`, CARE);
	const model = fates.pick(`${label} moved model`, MODELS);
	const keep = fates.roll(`${label} keeps`) < 0.5;
	const base = { taskType, model, ...(to === undefined ? {} : { nodeId: to }) };
	if (taskType === 'MIGRATION') return { ...base, n: keep ? 1 : 2, params: { keep, name: model, ...(from === undefined ? {} : { from }) } };
	return { ...base, n: 1, params: taskType === 'INGEST' ? { source: `sim/${model}`, name: model } : {} };
};

/** One weight for each workspace, as its limits say. */
const weightOf = (fates: Fates, ws: string): number => fates.pick(`weight of ${ws}`, [1, 1, 2]);

const dependencies = (fates: Fates, label: string, before: readonly PlannedJob[]): string[] => {
	if (before.length === 0 || fates.roll(`${label} depends`) >= DEPEND_SHARE) return [];
	const near = before.slice(-NEAR);
	return [...new Set([fates.pick(`${label} on`, near).job.id, fates.pick(`${label} and on`, near).job.id])];
};

/** Jobs until the wanted number of pictures is reached. */
export const planJobs = (fates: Fates, options: { nodes: number; tasks: number; stormMs: number }): PlannedJob[] => {
	const workspaces = workspacesFor(options.nodes);
	const planned: PlannedJob[] = [];
	let left = options.tasks;
	while (left > 0) {
		const label = `j${planned.length}`;
		const n = Math.min(left, fates.roll(`${label} many`) < 0.3 ? 1 + Math.floor(fates.roll(`${label} n`) * 4) : 1);
		left -= n;
		const ws = fates.pick(`${label} ws`, workspaces);
		const care = careOf(fates, label, ws, options.nodes);
		const spec = specOf(START, {
			model: fates.pick(`${label} model`, MODELS),
			n,
			steps: fates.pick(`${label} steps`, [4, 4, 8]),
			class: fates.roll(`${label} batch`) < 0.2 ? 'batch' : 'interactive',
			priority: Math.floor(fates.roll(`${label} priority`) * 10),
			...care,
		});
		const atMs = fates.between(`${label} at`, 0, options.stormMs);
		const id = newJobId(START + Math.round(atMs), bytesOf(fates, label), 0);
		const job = { id, ws, weight: weightOf(fates, ws), spec, createdAt: START, warnings: [], keyId: 'k' };
		const cancels = fates.roll(`${label} cancels`) < CANCEL_SHARE;
		const more = cancels ? { cancelAfterMs: fates.between(`${label} cancel at`, 0, 5000) } : {};
		const moves = fates.roll(`${label} gets another priority`) < PRIORITIZE_SHARE;
		const to = Math.floor(fates.roll(`${label} new priority`) * 10);
		const prioritize = moves ? { prioritize: { afterMs: fates.between(`${label} new priority at`, 0, 5000), to } } : {};
		const deadlineMs = care === undefined ? DEADLINE_MS : CARE_DEADLINE_MS;
		planned.push({ label, job, atMs, deadlineMs, dependsOn: dependencies(fates, label, planned), ...more, ...prioritize });
	}
	return planned;
};

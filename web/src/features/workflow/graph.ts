/**
 * How the jobs of a workflow lie on the page, and what of them depends on what. Pure.
 * @module
 */
import type { Job, WorkflowJob } from '@limner/sdk';

export const CARD_W = 168;
export const CARD_H = 216;
const GAP_X = 56;
const GAP_Y = 20;
/** Jobs below each other; more of the same depth go on beside them. */
const MAX_ROWS = 4;

export interface Placed {
	job: WorkflowJob;
	x: number;
	y: number;
	/** Keys of the members that it waits for. */
	after: readonly string[];
}

export interface Graph {
	nodes: readonly Placed[];
	/** Paths of SVG, from a dependency to what waits for it. */
	edges: readonly { id: string; path: string; met: boolean }[];
	width: number;
	height: number;
}

/** Jobs in a row before each job; jobs outside of the workflow do not count. */
export const depths = (jobs: readonly WorkflowJob[]): ReadonlyMap<string, number> => {
	const found = new Map<string, number>();
	const byId = new Map(jobs.map((job) => [job.id, job]));
	const depth = (job: WorkflowJob): number => {
		const known = found.get(job.id);
		if (known !== undefined) return known;
		const parents = (job.dependsOn ?? []).flatMap(({ job: id }) => byId.get(id) ?? []);
		const own = Math.max(-1, ...parents.map(depth)) + 1;
		found.set(job.id, own);
		return own;
	};
	for (const job of jobs) depth(job);
	return found;
};

/** Everything that depends on a job, directly or not, without it. */
export const dependents = (jobs: readonly WorkflowJob[], id: string): WorkflowJob[] => {
	const reached = new Set([id]);
	for (let before = 0; before < reached.size;) {
		before = reached.size;
		for (const job of jobs) if ((job.dependsOn ?? []).some(({ job: parent }) => reached.has(parent))) reached.add(job.id);
	}
	reached.delete(id);
	return jobs.filter((job) => reached.has(job.id));
};

const curve = (from: Placed, to: Placed): string => {
	const [x1, y1, x2, y2] = [from.x + CARD_W, from.y + CARD_H / 2, to.x, to.y + CARD_H / 2];
	const bend = Math.max(GAP_X / 2, (x2 - x1) / 2);
	return `M ${x1} ${y1} C ${x1 + bend} ${y1}, ${x2 - bend} ${y2}, ${x2} ${y2}`;
};

/** Jobs in columns by depth, those that wait at the right of what they wait for. */
export const layoutGraph = (jobs: readonly WorkflowJob[]): Graph => {
	const depth = depths(jobs);
	const layers = Map.groupBy(jobs, (job) => depth.get(job.id) ?? 0);
	const keys = new Map(jobs.map((job) => [job.id, job.key]));
	const nodes: Placed[] = [];
	const tallest = Math.max(...[...layers.values()].map((layer) => Math.min(MAX_ROWS, layer.length)), 0);
	let column = 0;
	for (const at of [...layers.keys()].toSorted((a, b) => a - b)) {
		const layer = layers.get(at) ?? [];
		const rows = Math.min(MAX_ROWS, layer.length);
		// Short columns stand in the middle.
		const top = ((tallest - rows) * (CARD_H + GAP_Y)) / 2;
		for (const [i, job] of layer.entries()) {
			const after = (job.dependsOn ?? []).flatMap(({ job: id }) => keys.get(id) ?? []);
			nodes.push({ job, x: (column + Math.floor(i / rows)) * (CARD_W + GAP_X), y: top + (i % rows) * (CARD_H + GAP_Y), after });
		}
		column += Math.ceil(layer.length / rows);
	}
	const byId = new Map(nodes.map((node) => [node.job.id, node]));
	const edges = nodes.flatMap((to) =>
		(to.job.dependsOn ?? []).flatMap(({ job: id, met }) => {
			const from = byId.get(id);
			return from === undefined ? [] : [{ id: `${id}-${to.job.id}`, path: curve(from, to), met: met === true }];
		}),
	);
	return { nodes, edges, width: column * (CARD_W + GAP_X) - GAP_X, height: tallest * (CARD_H + GAP_Y) - GAP_Y };
};

export interface Summary {
	id: string;
	name: string | undefined;
	jobs: readonly Job[];
	/** Of its jobs, those that have succeeded, and those that are open. */
	done: number;
	open: number;
	at: string;
}

const OPEN: ReadonlySet<string> = new Set(['waiting', 'queued', 'running']);
export const isOpenState = (state: string): boolean => OPEN.has(state);

/** The workflows of a list of jobs, the latest first. */
export const workflowsOf = (jobs: readonly Job[]): Summary[] => {
	const groups = Map.groupBy(
		jobs.filter(({ workflow }) => workflow !== undefined),
		({ workflow }) => workflow?.id ?? '',
	);
	return [...groups]
		.map(([id, members]) => ({
			id,
			name: members.find(({ request }) => request.workflow?.name !== undefined)?.request.workflow?.name,
			jobs: members,
			done: members.filter(({ state }) => state === 'succeeded').length,
			open: members.filter(({ state }) => isOpenState(state)).length,
			at: members.map(({ createdAt }) => createdAt).toSorted()[0] ?? '',
		}))
		.toSorted((a, b) => b.at.localeCompare(a.at));
};

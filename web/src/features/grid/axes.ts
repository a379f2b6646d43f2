/**
 * A grid of pictures over two settings: what is typed, the workflow that makes it, and the table that comes back. Pure.
 * @module
 */
import type { GenerateRequest, Workflow, WorkflowJob, WorkflowRequest } from '@limner/sdk';
import { t } from '../../strings.ts';

export type AxisName = 'seed' | 'steps' | 'guidance' | 'scheduler' | 'none';
export type AxisValue = number | string;

export interface Axis {
	name: AxisName;
	/** As it was typed. */
	text: string;
}

export const AXES: readonly AxisName[] = ['seed', 'steps', 'guidance', 'scheduler', 'none'];
/** A workflow has no more jobs. */
export const MAX_CELLS = 32;
const LABEL = 'grid';
const RANGE = /^(-?[\d.]+)\.\.(-?[\d.]+)(?::([\d.]+))?$/;
const BOUNDS: Record<'seed' | 'steps' | 'guidance', [low: number, high: number, whole: boolean]> = {
	seed: [0, Number.MAX_SAFE_INTEGER, true],
	steps: [1, 150, true],
	guidance: [0, 30, false],
};

/** `10..30:5` as its numbers; at most one more than a grid holds, so that a slip of the finger costs nothing. */
const range = (part: string): number[] | undefined => {
	const found = RANGE.exec(part);
	if (found === null) return undefined;
	const [from, to, step] = [Number(found[1]), Number(found[2]), Number(found[3] ?? 1)];
	if (!(step > 0) || !(to >= from)) return undefined;
	// Rounded, as 0.1 + 0.2 is not 0.3.
	return Array.from({ length: Math.min(MAX_CELLS + 1, Math.floor((to - from) / step + 1e-9) + 1) }, (_, i) =>
		Number((from + i * step).toFixed(6)),
	);
};

const numberOf = (part: string, axis: 'seed' | 'steps' | 'guidance'): number[] => {
	const [low, high, whole] = BOUNDS[axis];
	const values = range(part) ?? [Number(part)];
	const fits = (value: number): boolean => Number.isFinite(value) && value >= low && value <= high && (!whole || Number.isInteger(value));
	if (!values.every(fits)) throw new Error(`“${part}” ${t.grid.why.bad} ${t.grid.axes[axis]} (${low} … ${high}).`);
	return values;
};

/**
 * Values of an axis, each once.
 * @throws {Error} in words, for what is none
 */
export const valuesOf = ({ name, text }: Axis): AxisValue[] => {
	if (name === 'none') return [''];
	const parts = text
		.split(/[,;\n]/)
		.map((part) => part.trim())
		.filter((part) => part !== '');
	const values = name === 'scheduler' ? parts : parts.flatMap((part) => numberOf(part, name));
	return [...new Set<AxisValue>(values)];
};

export interface Plan {
	columns: readonly AxisValue[];
	rows: readonly AxisValue[];
	/** Why it cannot be made, in words. */
	why?: string;
}

/** What a grid of these axes would be. */
export const planOf = (x: Axis, y: Axis): Plan => {
	try {
		const [columns, rows] = [valuesOf(x), valuesOf(y)];
		if (x.name === y.name) return { columns, rows, why: t.grid.why.same };
		if (columns.length === 0 || rows.length === 0) return { columns, rows, why: t.grid.why.empty };
		const cells = columns.length * rows.length;
		return cells > MAX_CELLS ? { columns, rows, why: `${t.grid.why.many} ${cells}.` } : { columns, rows };
	} catch (error) {
		return { columns: [], rows: [], why: error instanceof Error ? error.message : String(error) };
	}
};

const setting = (name: AxisName, value: AxisValue | undefined): Partial<GenerateRequest> =>
	name === 'none' || value === undefined ? {} : { [name]: value };

const keyOf = (column: number, row: number): string => `x${column}-y${row}`;

/** The workflow of a grid. Its labels say what the axes are, so that any page can show it as a table again. */
export const toWorkflow = (base: GenerateRequest, x: Axis, y: Axis, { columns, rows }: Plan): WorkflowRequest => ({
	name: `${t.grid.title}: ${base.prompt}`.slice(0, 200),
	onDependencyFailure: 'run',
	jobs: rows.flatMap((row, j) =>
		columns.map((column, i) => ({
			...base,
			...setting(x.name, column),
			...setting(y.name, row),
			n: 1,
			key: keyOf(i, j),
			labels: [LABEL, `x:${x.name}`, `y:${y.name}`],
		})),
	) as WorkflowRequest['jobs'],
});

export interface Table {
	x: AxisName;
	y: AxisName;
	columns: readonly string[];
	rows: readonly string[];
	/** By row, then by column. */
	cells: readonly (readonly (WorkflowJob | undefined)[])[];
}

const axisOf = (labels: readonly string[], prefix: 'x:' | 'y:'): AxisName => {
	const name = labels.find((label) => label.startsWith(prefix))?.slice(prefix.length);
	return AXES.find((axis) => axis === name) ?? 'none';
};

const valueIn = (job: WorkflowJob | undefined, name: AxisName): string =>
	job === undefined || name === 'none' ? '' : String(job.request[name]);

export const isGrid = (job: { request: { labels?: readonly string[] | undefined } }): boolean =>
	job.request.labels?.includes(LABEL) ?? false;

/** The table that a workflow was made for; absent when it was not made for one. */
export const tableOf = ({ jobs }: Workflow): Table | undefined => {
	const [first] = jobs;
	if (first === undefined || !isGrid(first)) return undefined;
	const [x, y] = [axisOf(first.request.labels ?? [], 'x:'), axisOf(first.request.labels ?? [], 'y:')];
	const places = jobs.map((job) => ({ job, at: /^x(\d+)-y(\d+)$/.exec(job.key) }));
	const size = (group: 1 | 2): number => Math.max(...places.map(({ at }) => Number(at?.[group] ?? 0))) + 1;
	const [width, height] = [size(1), size(2)];
	const find = (i: number, j: number): WorkflowJob | undefined => places.find(({ job }) => job.key === keyOf(i, j))?.job;
	const cells = Array.from({ length: height }, (_, j) => Array.from({ length: width }, (__, i) => find(i, j)));
	return {
		x,
		y,
		columns: Array.from({ length: width }, (_, i) => valueIn(cells[0]?.[i], x)),
		rows: cells.map((row) => valueIn(row[0], y)),
		cells,
	};
};

import { ModelFolderError } from '../errors.ts';
import type { BoundInput, ModelSession, Reserved } from '../session.ts';
import type { TextEmbedding } from './text.ts';

/** Conditioning of one picture: what its rows are fed beside latents and timestep. */
export interface LaneConditioning {
	positive: TextEmbedding;
	/** null: no classifier-free guidance, one row a picture. */
	negative: TextEmbedding | null;
	/** SDXL size conditioning of the two rows. */
	timeIds: { positive: readonly number[]; negative: readonly number[] } | null;
	/** Channels appended after the latents: mask and masked picture of inpainting networks. */
	extra: Float32Array | null;
}

/** What stays the same in every evaluation, for all pictures. */
export interface DenoiserPlan {
	channels: number;
	height: number;
	width: number;
	guidance: number;
	guidanceRescale: number;
	/** One entry a picture; all have the same number of tokens, and all or none a negative. */
	lanes: readonly LaneConditioning[];
}

/** A row of a batch: a picture's conditional or unconditional half. */
export interface Row {
	lane: number;
	conditional: boolean;
}

/** Names under which exports know the same input. */
const LATENT_NAMES = ['sample', 'hidden_states'];
const POOLED_NAMES = ['text_embeds', 'pooled_projections'];

/** Rows that go through the network in one run: their inputs are bound once, and only latents and timestep change. */
export class RowBatch {
	readonly rows: readonly Row[];
	/** Where the scaled latents of each row are written: the network's own input. */
	readonly inputs: readonly Float32Array[];
	readonly #session: ModelSession;
	readonly #plane: number;
	readonly #dims: readonly [height: number, width: number];
	readonly #size: number;
	readonly #latents: BoundInput;
	readonly #timestepValues: Float32Array;
	readonly #timestep: BoundInput;
	readonly #feeds: Record<string, BoundInput['tensor']>;
	readonly #outputName: string;
	#into: ReadonlyMap<string, Reserved> = new Map();
	/** Views of the reserved output, a row each; null until it is reserved. */
	#views: readonly Float32Array[] | null = null;

	constructor(session: ModelSession, plan: DenoiserPlan, rows: readonly Row[]) {
		this.rows = rows;
		this.#session = session;
		this.#plane = plan.height * plan.width;
		this.#dims = [plan.height, plan.width];
		this.#size = plan.channels * this.#plane;
		const lanes = rows.map((row) => plan.lanes[row.lane] as LaneConditioning);
		const rowSize = this.#size + (lanes[0]?.extra?.length ?? 0);
		const values = new Float32Array(rows.length * rowSize);
		for (const [b, lane] of lanes.entries()) values.set(lane.extra ?? [], b * rowSize + this.#size);
		this.inputs = rows.map((_, b) => values.subarray(b * rowSize, b * rowSize + this.#size));
		const latentName = pickName(session, LATENT_NAMES);
		this.#latents = session.bind(latentName, values, [rows.length, rowSize / this.#plane, plan.height, plan.width]);
		const timestepDims = timestepShape(session, rows.length);
		this.#timestepValues = new Float32Array(timestepDims[0] ?? 1);
		this.#timestep = session.bind('timestep', this.#timestepValues, timestepDims);
		this.#feeds = { [latentName]: this.#latents.tensor, timestep: this.#timestep.tensor, ...conditioning(session, plan, rows) };
		refuseUnknown(session, this.#feeds);
		this.#outputName = session.outputNames[0] as string;
		const channels = session.outputs.get(this.#outputName)?.shape[1];
		if (typeof channels === 'number') this.#reserve(channels);
	}

	/** One evaluation: the prediction for each row, valid until the next run, and free to be written over. */
	async run(timestep: number): Promise<readonly Float32Array[]> {
		this.#latents.refresh();
		this.#timestepValues.fill(timestep);
		this.#timestep.refresh();
		const results = await this.#session.run(this.#feeds, [this.#outputName], this.#into);
		const raw = results.get(this.#outputName) as Float32Array;
		if (this.#views !== null) return this.#views;
		// an export that names its channels has shown by now how many there are
		this.#reserve(raw.length / (this.rows.length * this.#plane));
		return this.#split(raw);
	}

	#reserve(channels: number): void {
		const reserved = this.#session.reserve(this.#outputName, [this.rows.length, channels, ...this.#dims]);
		if (reserved === null) return;
		this.#into = new Map([[this.#outputName, reserved]]);
		this.#views = this.#split(reserved.values);
	}

	/** Networks that also predict a variance have more channels; the first ones are the prediction. */
	#split(raw: Float32Array): Float32Array[] {
		const stride = raw.length / this.rows.length;
		return this.rows.map((_, b) => raw.subarray(b * stride, b * stride + this.#size));
	}
}

function conditioning(session: ModelSession, plan: DenoiserPlan, rows: readonly Row[]): Record<string, BoundInput['tensor']> {
	const laneOf = (row: Row): LaneConditioning => plan.lanes[row.lane] as LaneConditioning;
	const textOf = (row: Row): TextEmbedding => (row.conditional ? laneOf(row).positive : (laneOf(row).negative as TextEmbedding));
	const texts = rows.map(textOf);
	const [first] = texts as [TextEmbedding];
	const feeds: Record<string, BoundInput['tensor']> = {};
	const add = (name: string, values: Float32Array, dims: readonly number[]): void => {
		feeds[name] = session.bind(name, values, dims).tensor;
	};
	add('encoder_hidden_states', stack(texts.map((t) => t.hidden)), [rows.length, first.tokens, first.width]);
	const pooledName = POOLED_NAMES.find((n) => session.inputs.has(n));
	if (pooledName !== undefined) {
		add(pooledName, stack(texts.map((t) => t.pooled ?? new Float32Array(0))), [rows.length, first.pooled?.length ?? 0]);
	}
	const ids = rows.map((row) => laneOf(row).timeIds?.[row.conditional ? 'positive' : 'negative'] ?? []);
	if (session.inputs.has('time_ids')) add('time_ids', Float32Array.from(ids.flat()), [rows.length, ids[0]?.length ?? 0]);
	const width = session.inputs.get('timestep_cond')?.shape[1];
	if (typeof width === 'number') {
		const embedding = guidanceEmbedding(plan.guidance, width);
		add('timestep_cond', stack(rows.map(() => embedding)), [rows.length, width]);
	}
	if (session.inputs.has('return_dict')) add('return_dict', Float32Array.of(0), [1]);
	return feeds;
}

function refuseUnknown(session: ModelSession, feeds: object): void {
	const missing = [...session.inputs.keys()].filter((name) => !(name in feeds));
	if (missing.length > 0) {
		throw new ModelFolderError(
			`The denoiser wants the input "${missing.join('", "')}", which this engine does not provide; use a plain export of the model.`,
		);
	}
}

/** Exports take the timestep as a scalar, as one number, or as one number a row. */
function timestepShape(session: ModelSession, batch: number): number[] {
	const shape = session.inputs.get('timestep')?.shape ?? [];
	if (shape.length === 0) return [];
	return [shape[0] === 1 ? 1 : batch];
}

function pickName(session: ModelSession, names: readonly string[]): string {
	const found = names.find((n) => session.inputs.has(n));
	if (found === undefined) throw new ModelFolderError(`The denoiser has none of the inputs ${names.join(', ')}; export it with optimum.`);
	return found;
}

function stack(rows: readonly Float32Array[]): Float32Array {
	const [first] = rows;
	if (rows.length === 1 && first !== undefined) return first;
	const out = new Float32Array(rows.reduce((n, r) => n + r.length, 0));
	let at = 0;
	for (const row of rows) {
		out.set(row, at);
		at += row.length;
	}
	return out;
}

/** Sinusoidal embedding of the guidance scale w = g − 1 for distilled networks (Meng et al. 2023; Luo et al. 2023, §4.2). */
export function guidanceEmbedding(guidance: number, width: number): Float32Array {
	const half = Math.floor(width / 2);
	const out = new Float32Array(width);
	for (let i = 0; i < half; i++) {
		const angle = Math.fround((guidance - 1) * 1000) * Math.fround(Math.exp((-Math.log(10000) * i) / (half - 1)));
		out[i] = Math.sin(angle);
		out[half + i] = Math.cos(angle);
	}
	return out;
}

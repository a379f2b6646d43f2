import { ModelFolderError } from '../errors.ts';
import type { BoundInput, ModelSession } from '../session.ts';
import { mix2, unbiasedStd } from '../vector.ts';
import type { TextEmbedding } from './text.ts';

/** What stays the same in every evaluation of one picture. */
export interface DenoiserPlan {
	channels: number;
	height: number;
	width: number;
	positive: TextEmbedding;
	/** null: no classifier-free guidance, one row a run. */
	negative: TextEmbedding | null;
	guidance: number;
	guidanceRescale: number;
	/** SDXL size conditioning of the two rows. */
	timeIds: { positive: readonly number[]; negative: readonly number[] } | null;
	/** Channels appended after the latents: mask and masked picture of inpainting networks. */
	extra: Float32Array | null;
}

/** Names under which exports know the same input. */
const LATENT_NAMES = ['sample', 'hidden_states'];
const POOLED_NAMES = ['text_embeds', 'pooled_projections'];

/** The denoising network prepared for one picture: inputs are bound once and only latents and timestep change. */
export class DenoiserRun {
	/** Where the scheduler writes the scaled latents of the first row. */
	readonly input: Float32Array;
	/** Guided prediction of the latest `predict`. */
	readonly output: Float32Array;
	readonly #session: ModelSession;
	readonly #plan: DenoiserPlan;
	readonly #rows: Float32Array;
	readonly #latents: BoundInput;
	readonly #timestepValues: Float32Array;
	readonly #timestep: BoundInput;
	readonly #feeds: Record<string, BoundInput['tensor']>;
	readonly #outputName: string;

	constructor(session: ModelSession, plan: DenoiserPlan) {
		const batch = plan.negative === null ? 1 : 2;
		const size = plan.channels * plan.height * plan.width;
		const rowSize = size + (plan.extra?.length ?? 0);
		this.#session = session;
		this.#plan = plan;
		this.#rows = new Float32Array(batch * rowSize);
		for (let b = 0; b < batch; b++) this.#rows.set(plan.extra ?? [], b * rowSize + size);
		this.input = this.#rows.subarray(0, size);
		this.output = new Float32Array(size);
		this.#outputName = session.outputNames[0] as string;

		const latentName = pickName(session, LATENT_NAMES);
		const rowChannels = rowSize / (plan.height * plan.width);
		this.#latents = session.bind(latentName, this.#rows, [batch, rowChannels, plan.height, plan.width]);
		const timestepDims = timestepShape(session, batch);
		this.#timestepValues = new Float32Array(timestepDims[0] ?? 1);
		this.#timestep = session.bind('timestep', this.#timestepValues, timestepDims);
		this.#feeds = { [latentName]: this.#latents.tensor, timestep: this.#timestep.tensor, ...this.#conditioning(batch) };
		this.#refuseUnknown();
	}

	/**
	 * Evaluates the network on `input` at `timestep` and leaves the guided prediction in `output`:
	 * u + g·(c − u) (Ho & Salimans 2022, eq. 6), optionally rescaled (Lin et al. 2024, §3.4).
	 */
	async predict(timestep: number): Promise<void> {
		const { negative, guidance, guidanceRescale } = this.#plan;
		if (negative !== null) this.#rows.copyWithin(this.#rows.length / 2, 0, this.input.length);
		this.#latents.refresh();
		this.#timestepValues.fill(timestep);
		this.#timestep.refresh();
		const results = await this.#session.run(this.#feeds, [this.#outputName]);
		const raw = results.get(this.#outputName) as Float32Array;
		const size = this.output.length;
		if (negative === null) {
			this.output.set(raw.length === size ? raw : raw.subarray(0, size));
			return;
		}
		const unconditional = raw.subarray(0, size);
		const conditional = raw.subarray(raw.length / 2, raw.length / 2 + size);
		mix2(this.output, 1 - guidance, unconditional, guidance, conditional);
		if (guidanceRescale > 0) {
			const ratio = unbiasedStd(conditional) / unbiasedStd(this.output);
			const factor = guidanceRescale * ratio + 1 - guidanceRescale;
			for (let i = 0; i < size; i++) this.output[i] = (this.output[i] as number) * factor;
		}
	}

	#conditioning(batch: number): Record<string, BoundInput['tensor']> {
		const { positive, negative, timeIds, guidance } = this.#plan;
		const rows = negative === null ? [positive] : [negative, positive];
		const feeds: Record<string, BoundInput['tensor']> = {};
		const add = (name: string, values: Float32Array, dims: readonly number[]): void => {
			feeds[name] = this.#session.bind(name, values, dims).tensor;
		};
		add('encoder_hidden_states', stack(rows.map((r) => r.hidden)), [batch, positive.tokens, positive.width]);
		const pooledName = POOLED_NAMES.find((n) => this.#session.inputs.has(n));
		if (pooledName !== undefined) {
			const pooled = rows.map((r) => r.pooled ?? new Float32Array(0));
			add(pooledName, stack(pooled), [batch, pooled[0]?.length ?? 0]);
		}
		if (this.#session.inputs.has('time_ids') && timeIds !== null) {
			const ids = negative === null ? [timeIds.positive] : [timeIds.negative, timeIds.positive];
			add('time_ids', Float32Array.from(ids.flat()), [batch, timeIds.positive.length]);
		}
		const width = this.#session.inputs.get('timestep_cond')?.shape[1];
		if (typeof width === 'number') {
			const embedding = guidanceEmbedding(guidance, width);
			add('timestep_cond', stack(rows.map(() => embedding)), [batch, width]);
		}
		if (this.#session.inputs.has('return_dict')) add('return_dict', Float32Array.of(0), [1]);
		return feeds;
	}

	#refuseUnknown(): void {
		const missing = [...this.#session.inputs.keys()].filter((name) => !(name in this.#feeds));
		if (missing.length > 0) {
			throw new ModelFolderError(
				`The denoiser wants the input "${missing.join('", "')}", which this engine does not provide; use a plain export of the model.`,
			);
		}
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

import { isOutOfMemory } from '../errors.ts';
import type { ModelSession } from '../session.ts';
import { mix2, unbiasedStd } from '../vector.ts';
import type { BatchPolicy } from './batch-policy.ts';
import { RowBatch, type DenoiserPlan, type Row } from './row-batch.ts';

export { guidanceEmbedding, type DenoiserPlan, type LaneConditioning } from './row-batch.ts';

/** Rows of pictures `from`…`to`, unconditional ones first: the order of diffusers. */
function rowsOf(lanes: readonly number[], guided: boolean): Row[] {
	const conditional = lanes.map((lane) => ({ lane, conditional: true }));
	return guided ? [...lanes.map((lane) => ({ lane, conditional: false })), ...conditional] : conditional;
}

/** Pictures in groups of whole pictures, or single rows where a picture does not fit. */
function splitRows(lanes: readonly number[], guided: boolean, rowsAtOnce: number): Row[][] {
	const perPicture = guided ? 2 : 1;
	if (rowsAtOnce < perPicture) return rowsOf(lanes, guided).map((row) => [row]);
	const group = Math.floor(rowsAtOnce / perPicture);
	const groups: Row[][] = [];
	for (let at = 0; at < lanes.length; at += group) groups.push(rowsOf(lanes.slice(at, at + group), guided));
	return groups;
}

/** Writes the scaled latents of a picture into the network's input; called once for each of the picture's rows. */
export type WriteInput = (lane: number, into: Float32Array) => void;

/**
 * The denoising network prepared for some pictures of one shape. Inputs are written where the network reads them and
 * predictions are read where it wrote them: nothing is copied between steps.
 */
export class DenoiserRun {
	/** Guided prediction of the latest `predict`, for each picture: valid until the next one. */
	readonly outputs: Float32Array[] = [];
	/** Predictions of the unconditional rows, where there is guidance. */
	readonly #unconditional: Float32Array[] = [];
	readonly #session: ModelSession;
	readonly #plan: DenoiserPlan;
	readonly #policy: BatchPolicy;
	readonly #shape: string;
	readonly #guided: boolean;
	/** Batches by the lanes in them, so that nothing is bound twice. */
	#batches: { key: string; list: RowBatch[] } = { key: '', list: [] };
	/** Rows of one run by number of pictures: decided once, for memory that comes and goes must not rebind every step. */
	readonly #rowsAtOnce = new Map<number, number>();

	constructor(session: ModelSession, plan: DenoiserPlan, policy: BatchPolicy) {
		this.#session = session;
		this.#plan = plan;
		this.#policy = policy;
		const [first] = plan.lanes;
		this.#guided = (first?.negative ?? null) !== null;
		this.#shape = `${plan.width}x${plan.height}/${first?.positive.tokens ?? 0}`;
	}

	/**
	 * Evaluates the network on `lanes` at `timestep` and leaves the guided predictions in their outputs:
	 * u + g·(c − u) (Ho & Salimans 2022, eq. 6), optionally rescaled (Lin et al. 2024, §3.4).
	 *
	 * A run of several pictures is compared with one of the first picture alone when its shape is first seen; where the
	 * bytes differ, pictures go one by one from then on.
	 */
	async predict(timestep: number, lanes: readonly number[], write: WriteInput): Promise<void> {
		for (;;) {
			const rows = this.#decide(lanes.length);
			try {
				if (await this.#runAll(timestep, lanes, rows, write)) return;
			} catch (error) {
				if (rows === 1 || !isOutOfMemory(error)) throw error;
				this.#policy.ranOut(this.#shape, rows);
			}
			this.#rowsAtOnce.clear();
		}
	}

	/** False when a batch turned out to change bytes: its results do not count. */
	async #runAll(timestep: number, lanes: readonly number[], rows: number, write: WriteInput): Promise<boolean> {
		for (const batch of this.#batchesFor(lanes, rows)) {
			if (!(await this.#runBatch(batch, timestep, write))) return false;
		}
		for (const lane of lanes) this.#guide(lane);
		return true;
	}

	async #runBatch(batch: RowBatch, timestep: number, write: WriteInput): Promise<boolean> {
		const { rows } = batch;
		const first = rows[0] as Row;
		const isBatch = rows.some((row) => row.lane !== first.lane);
		const check = isBatch && !this.#policy.isChecked(this.#shape, rows.length);
		const alone = check ? await this.#alone(first.lane, timestep, write) : [];
		await this.#evaluate(batch, timestep, write);
		if (!check) return true;
		const equal = this.#halves(first.lane).every((half, i) => sameBits(half, alone[i] as Float32Array));
		this.#policy.compared(this.#shape, rows.length, equal);
		return equal;
	}

	/** Predictions for one picture by itself; the first run of a shape also shows what a row takes of memory. */
	async #alone(lane: number, timestep: number, write: WriteInput): Promise<Float32Array[]> {
		const batch = new RowBatch(this.#session, this.#plan, rowsOf([lane], this.#guided));
		await this.#evaluate(batch, timestep, write);
		return this.#halves(lane);
	}

	async #evaluate(batch: RowBatch, timestep: number, write: WriteInput): Promise<void> {
		for (const [b, { lane }] of batch.rows.entries()) write(lane, batch.inputs[b] as Float32Array);
		const predictions = await this.#policy.measured(this.#shape, batch.rows.length, () => batch.run(timestep));
		for (const [b, { lane, conditional }] of batch.rows.entries()) {
			(conditional ? this.outputs : this.#unconditional)[lane] = predictions[b] as Float32Array;
		}
	}

	/** Raw predictions of a picture: conditional, and unconditional where there is guidance. */
	#halves(lane: number): Float32Array[] {
		return [this.outputs[lane], this.#unconditional[lane]].filter((half) => half !== undefined);
	}

	#decide(pictures: number): number {
		const { height, width } = this.#plan;
		const decided = this.#rowsAtOnce.get(pictures) ?? this.#policy.rows(this.#shape, height * width, this.#guided ? 2 : 1, pictures);
		this.#rowsAtOnce.set(pictures, decided);
		return decided;
	}

	#batchesFor(lanes: readonly number[], rows: number): readonly RowBatch[] {
		const key = `${lanes.join()}/${rows}`;
		if (this.#batches.key !== key) {
			const list = splitRows(lanes, this.#guided, rows).map((group) => new RowBatch(this.#session, this.#plan, group));
			this.#batches = { key, list };
		}
		return this.#batches.list;
	}

	/** Puts the guided prediction in the place of the conditional one. */
	#guide(lane: number): void {
		const unconditional = this.#unconditional[lane];
		if (unconditional === undefined) return;
		const { guidance, guidanceRescale } = this.#plan;
		const output = this.outputs[lane] as Float32Array;
		const spread = guidanceRescale > 0 ? unbiasedStd(output) : 0;
		mix2(output, 1 - guidance, unconditional, guidance, output);
		if (guidanceRescale <= 0) return;
		const factor = guidanceRescale * (spread / unbiasedStd(output)) + 1 - guidanceRescale;
		for (let i = 0; i < output.length; i++) output[i] = (output[i] as number) * factor;
	}
}

function bytesOf(x: Float32Array): Buffer {
	return Buffer.from(x.buffer, x.byteOffset, x.byteLength);
}

/** Equal bit by bit; NaN equals itself. */
function sameBits(a: Float32Array, b: Float32Array): boolean {
	return Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}

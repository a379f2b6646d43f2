/**
 * How many rows go through the network at once: as many as memory allows, and more than one picture only where that
 * leaves each picture's bytes as they are.
 * @module
 */
import { NODE_LIMITS } from '@limner/shared';

/** Reads memory: what this process holds, and what it could still take. Bytes. */
export interface MemoryGauge {
	used: () => number;
	free: () => number;
}

/** Memory of this process, for engines that compute on the CPU. */
export const processMemory: MemoryGauge = {
	used: () => process.memoryUsage.rss(),
	free: () => process.availableMemory(),
};

/** Part of the free memory that batches may take; the rest is for decoding, other slots and the owner's programs. */
const SHARE = 0.5;

/**
 * Bytes per latent cell of a row that are assumed until a run was measured: 64 feature maps of float32 in the widest
 * layers (SD 1.5 holds about 60).
 */
const ASSUMED_CELL_BYTES = 64 * 320 * 4;

/** What is known of one shape. */
interface ShapeNotes {
	/** Measured bytes a row. */
	rowBytes: number | null;
	/** The same for a picture, and its size. */
	pictureBytes: number;
	cells: number;
	/** Numbers of rows at once whose result was compared with that of one picture alone. */
	checked: Set<number>;
	/** Rows at once that ran out of memory, or more. */
	tooMany: number;
}

const freshNotes = (): ShapeNotes => ({ rowBytes: null, pictureBytes: 0, cells: 1, checked: new Set(), tooMany: Number.POSITIVE_INFINITY });

export interface BatchPolicyOptions {
	/** Pictures at once at most; 1 = one after the other, NODE_LIMITS.batchDefault when absent. */
	maxBatch?: number;
	gauge?: MemoryGauge;
}

/** Decides for one loaded model. */
export class BatchPolicy {
	readonly #gauge: MemoryGauge;
	readonly #maxBatch: number;
	readonly #shapes = new Map<string, ShapeNotes>();
	#exact = true;

	constructor(options: BatchPolicyOptions = {}) {
		this.#gauge = options.gauge ?? processMemory;
		this.#maxBatch = Math.min(options.maxBatch ?? NODE_LIMITS.batchDefault, NODE_LIMITS.batchMax);
	}

	/** Pictures at once at most; falls to 1 when a batch was seen to change bytes. */
	get maxBatch(): number {
		return this.#exact ? this.#maxBatch : 1;
	}

	/**
	 * Rows of one run.
	 * @param shape names everything that decides how much memory a row takes
	 * @param cells latent cells of a row
	 * @param perPicture rows of a picture: 2 with guidance
	 * @returns whole pictures' rows, or 1 where not even the two halves of one picture fit together
	 */
	rows(shape: string, cells: number, perPicture: number, pictures: number): number {
		const notes = this.#notes(shape);
		const { rowBytes, tooMany } = notes;
		Object.assign(notes, { cells, pictureBytes: (rowBytes ?? 0) * perPicture });
		const fit = Math.floor((this.#gauge.free() * SHARE) / this.#rowBytes(cells));
		const most = Math.min(fit, tooMany - 1, pictures * perPicture, this.maxBatch * perPicture);
		return Math.max(1, most < perPicture ? most : most - (most % perPicture));
	}

	/**
	 * Runs `act` and learns from how much memory the process holds afterwards what a row takes: the runtime keeps what it
	 * took. Only growth tells something; a run that fitted into what was there already is no measure.
	 */
	async measured<T>(shape: string, rows: number, act: () => Promise<T>): Promise<T> {
		const before = this.#gauge.used();
		const result = await act();
		const grown = (this.#gauge.used() - before) / rows;
		const notes = this.#notes(shape);
		if (grown > 0) notes.rowBytes = Math.max(notes.rowBytes ?? 0, grown);
		return result;
	}

	/** Whether a run of so many rows was compared, or needs no comparison. */
	isChecked(shape: string, rows: number): boolean {
		return this.#notes(shape).checked.has(rows);
	}

	/** Notes the outcome of comparing a picture in a run of `rows` rows with the same picture alone. */
	compared(shape: string, rows: number, equal: boolean): void {
		if (equal) this.#notes(shape).checked.add(rows);
		else this.#exact = false;
	}

	/** Notes that so many rows at once did not fit. */
	ranOut(shape: string, rows: number): void {
		const notes = this.#notes(shape);
		notes.tooMany = Math.min(notes.tooMany, rows);
	}

	/**
	 * Pixels of all pictures of a batch that fit, from the shape that takes most for a cell; undefined before any was measured.
	 * @param cellPx pixels of a latent cell
	 */
	maxBatchPx(cellPx: number): number | undefined {
		const measured = [...this.#shapes.values()].flatMap(({ pictureBytes, cells }) => (pictureBytes > 0 ? [pictureBytes / cells] : []));
		if (measured.length === 0) return undefined;
		return Math.max(1, Math.floor((this.#gauge.free() * SHARE * cellPx) / Math.max(...measured)));
	}

	/**
	 * Bytes of a row, from the shape that was seen to take most for a cell: one that ran after a larger one hardly grew.
	 */
	#rowBytes(cells: number): number {
		const perCell = [...this.#shapes.values()].flatMap((notes) => (notes.rowBytes === null ? [] : [notes.rowBytes / notes.cells]));
		return cells * (perCell.length === 0 ? ASSUMED_CELL_BYTES : Math.max(...perCell));
	}

	#notes(shape: string): ShapeNotes {
		const found = this.#shapes.get(shape) ?? freshNotes();
		this.#shapes.set(shape, found);
		return found;
	}
}

/**
 * What the scheduler should know of a machine while it works, told when it changed and not too often.
 * @module
 */
import { statfs } from 'node:fs/promises';
import type { NodeFrame, SlotInfo } from '@limner/shared';
import { coarse, Sampler, type Readings } from './telemetry.ts';

/** Free disk is told again when it changed by more than this share. */
const DISK_SHARE = 0.1;

/** Bytes that may still be written below a folder; nothing when that cannot be told. */
export const freeBytes = async (folder: string): Promise<number | undefined> => {
	try {
		const { bavail, bsize } = await statfs(folder);
		return bavail * bsize;
	} catch {
		return undefined;
	}
};

export interface VitalsParts {
	/** Its disk is watched. */
	folder: string;
	slots: () => SlotInfo[];
	/** Sends a frame; false when the link is down. */
	send: (frame: NodeFrame) => boolean;
	/** At least so long between two frames, in milliseconds. */
	everyMs: () => number;
	monotonicMs: () => number;
}

export class Vitals {
	readonly #parts: VitalsParts;
	readonly #sampler = new Sampler();
	#diskFree: number | undefined;
	#readings: Readings | undefined;
	#told = '';
	#at = Number.NEGATIVE_INFINITY;

	constructor(parts: VitalsParts, diskFree: number | undefined) {
		this.#parts = parts;
		this.#diskFree = diskFree;
	}

	get disk(): { diskFreeBytes?: number } {
		return this.#diskFree === undefined ? {} : { diskFreeBytes: this.#diskFree };
	}

	/** What `hello` said needs no telling. */
	saidHello(): void {
		this.#told = this.#text();
	}

	/** Something may have changed: tells it, if it has and if it is time. */
	async changed(): Promise<void> {
		if (this.#text() !== this.#told) await this.tell();
	}

	/** Measures, and tells what is news. */
	async tell(): Promise<void> {
		const now = this.#parts.monotonicMs();
		if (now - this.#at < this.#parts.everyMs()) return;
		this.#at = now;
		[this.#diskFree, this.#readings] = await Promise.all([freeBytes(this.#parts.folder), this.#sampler.read()]);
		const text = this.#text();
		if (text === this.#told) return;
		if (this.#parts.send({ t: 'telemetry', ...this.#readings, slots: this.#parts.slots(), ...this.disk })) this.#told = text;
	}

	/** Coarse, so that only what matters to the scheduler is news. */
	#text(): string {
		const disk = this.#diskFree === undefined ? 0 : Math.round(Math.log(Math.max(1, this.#diskFree)) / DISK_SHARE);
		return JSON.stringify([
			this.#parts.slots().map(({ id, loaded, maxBatch, maxBatchPx, warm }) => [id, loaded, maxBatch, maxBatchPx, warm]),
			disk,
			coarse(this.#readings),
		]);
	}
}

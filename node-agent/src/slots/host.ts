/**
 * Runs an engine on behalf of a slot: takes messages, makes pictures, answers messages. The same code in an engine
 * process and, for the mock engine, inside the node.
 * @module
 */
import { createHash } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { TIMING } from '@limner/shared';
import {
	EngineCancelled,
	EngineError,
	type Engine,
	type EngineBatchHooks,
	type EngineModel,
	type EngineOutcome,
	type EnginePicture,
} from '../engines/types.ts';
import { monotonicMs } from '../lib/clock.ts';
import { rotate } from '../lib/rotate.ts';
import { messageOf } from '../lib/user-error.ts';
import { encodePicture, encodePreviewJpeg } from '../png/encode.ts';
import { newRecord, type PictureRecord } from '../png/record.ts';
import type { FromWorker, ResultMeta, SlotCapabilities, SlotTask, ToWorker } from './messages.ts';

export interface HostOptions {
	slotId: string;
	/** JSON lines of what the engine did; none when absent. */
	engineLog?: string;
	/** What every picture says besides. */
	warnings?: string[];
	/** Ends the process; absent inside the node. */
	exit?: () => void;
	now?: () => number;
}

/** The record that goes into the picture. */
export const pictureRecord = (task: Pick<SlotTask, 'request' | 'model'>, picture: EnginePicture, engine: Engine): PictureRecord => {
	const { device } = engine.capabilities();
	return newRecord({
		request: { ...task.request, ...picture.inputHashes },
		model: { name: task.model.name, sha256: task.model.sha256 },
		engine: engine.name,
		device: device.name,
	});
};

const round = (timings: Record<string, number>): Record<string, number> =>
	Object.fromEntries(Object.entries(timings).map(([name, value]) => [name, Math.round(value)]));

interface Running {
	task: SlotTask;
	cancelled: boolean;
	watched: boolean;
	previewing: boolean;
	previewAt: number;
}

const begin = (task: SlotTask): Running => ({
	task,
	cancelled: false,
	watched: task.watched,
	previewing: false,
	previewAt: Number.NEGATIVE_INFINITY,
});

const pixelHash = ({ width, height, rgb }: EnginePicture): string =>
	createHash('sha256').update(`${width}x${height}:`).update(rgb).digest('hex');

export class EngineHost {
	readonly #engine: Engine;
	readonly #send: (message: FromWorker) => void;
	readonly #options: HostOptions;
	/** Pictures under way, by key. */
	readonly #running = new Map<string, Running>();
	/** The latest load; an engine does one thing at a time. */
	#loading: Promise<void> = Promise.resolve();
	#told = '';

	constructor(engine: Engine, send: (message: FromWorker) => void, options: HostOptions) {
		this.#engine = engine;
		this.#send = send;
		this.#options = options;
	}

	/** Says that work can come, and what the engine takes. */
	ready(): void {
		this.#send({ t: 'ready' });
		this.#tellCapabilities();
	}

	/** Takes a message of the slot. */
	receive(message: ToWorker): void {
		switch (message.t) {
			case 'run':
				void this.#run([message.task, ...(message.more ?? [])]);
				break;
			case 'prepare':
				// Whoever runs with the model hears of the failure.
				void this.#load(message.model, () => undefined).catch(() => undefined);
				break;
			case 'cancel':
				this.#change(message.key, { cancelled: true });
				break;
			case 'watch':
				this.#change(message.key, { watched: message.on });
				break;
			case 'exit':
				this.#options.exit?.();
				break;
		}
	}

	#change(key: string, change: Partial<Running>): void {
		const running = this.#running.get(key);
		if (running !== undefined) Object.assign(running, change);
	}

	/** One load after the other: the same model a second time is there at once. */
	async #load(model: EngineModel, onProgress: (fraction: number) => void): Promise<void> {
		const before = this.#loading.catch(() => undefined);
		this.#loading = before.then(() => this.#engine.load(model, onProgress));
		return this.#loading;
	}

	async #run(tasks: readonly SlotTask[]): Promise<void> {
		const all = tasks.map(begin);
		for (const running of all) {
			this.#running.set(running.task.key, running);
			this.#log(running.task, 'start');
		}
		try {
			await this.#makeAll(all);
		} catch (error) {
			for (const running of all) if (this.#running.get(running.task.key) === running) this.#end(running, this.#verdict(running, error));
		}
		this.#tellCapabilities();
	}

	#end(running: Running, message: FromWorker): void {
		this.#log(running.task, 'end', { outcome: message.t });
		this.#running.delete(running.task.key);
		this.#send(message);
	}

	#verdict({ task: { key } }: Running, error: unknown): FromWorker {
		if (error instanceof EngineCancelled) return { t: 'cancelled', key };
		if (error instanceof EngineError) return { t: 'failed', key, failure: error.failure, message: error.message };
		return { t: 'failed', key, failure: 'engine', message: `The engine failed: ${messageOf(error)}` };
	}

	async #makeAll(all: readonly Running[]): Promise<void> {
		const [lead] = all;
		if (lead === undefined) return;
		const loadStarted = performance.now();
		await this.#load(lead.task.model, (fraction) => this.#sendAll(all, (key) => ({ t: 'loading', key, fraction })));
		const loadMs = performance.now() - loadStarted;
		const wanted: Running[] = [];
		for (const running of all) {
			if (running.cancelled) this.#end(running, this.#verdict(running, new EngineCancelled()));
			else wanted.push(running);
		}
		const items = wanted.map(({ task: { request, inputs } }) => ({ request, inputs }));
		const outcomes = items.length === 0 ? [] : await this.#engine.generateBatch(items, this.#hooks(wanted));
		for (const [i, running] of wanted.entries()) this.#end(running, await this.#message(running, outcomes[i], loadMs));
	}

	/** Progress of a model counts for every picture that waits for it. */
	#sendAll(all: readonly Running[], message: (key: string) => FromWorker): void {
		for (const { task } of all) this.#send(message(task.key));
	}

	async #message(running: Running, outcome: EngineOutcome | undefined, loadMs: number): Promise<FromWorker> {
		if (outcome === undefined || outcome instanceof Error) {
			return this.#verdict(running, outcome ?? new EngineError('engine', 'The engine made no picture.'));
		}
		try {
			return await this.#done(running, outcome, loadMs);
		} catch (error) {
			return this.#verdict(running, error);
		}
	}

	async #done(running: Running, picture: EnginePicture, loadMs: number): Promise<FromWorker> {
		const { task } = running;
		const pngStarted = performance.now();
		const png = await encodePicture(picture, pictureRecord(task, picture, this.#engine), task.output);
		if (running.cancelled) throw new EngineCancelled();
		const pngMs = performance.now() - pngStarted;
		const meta: ResultMeta = {
			seed: task.request.seed,
			engine: this.#engine.name,
			device: this.#engine.capabilities().device.name,
			model: task.model.name,
			modelSha256: task.model.sha256,
			...(task.hashPixels === true ? { pixelSha256: pixelHash(picture) } : {}),
			warnings: [...(this.#options.warnings ?? []), ...picture.warnings],
			timings: round({ loadMs, ...picture.timings, pngMs }),
		};
		return { t: 'done', key: task.key, png, meta };
	}

	#hooks(all: readonly Running[]): EngineBatchHooks {
		const at = (item: number): Running => all[item] as Running;
		return {
			onPhase: (item, phase) => this.#send({ t: 'phase', key: at(item).task.key, phase }),
			onStep: (item, step, steps, preview) => {
				const running = at(item);
				this.#log(running.task, 'step', { step });
				this.#send({ t: 'step', key: running.task.key, step, steps });
				if (preview !== undefined && running.watched && step < steps) this.#preview(running, step, preview);
			},
			isCancelled: (item) => at(item).cancelled,
		};
	}

	/** Tells what the engine takes and holds, when that has changed. */
	#tellCapabilities(): void {
		const { maxBatch, maxBatchPx } = this.#engine.capabilities();
		const { held } = this.#engine.health();
		const capabilities: SlotCapabilities = { maxBatch, ...(maxBatchPx === undefined ? {} : { maxBatchPx }), held };
		const text = JSON.stringify(capabilities);
		if (text === this.#told) return;
		this.#told = text;
		this.#send({ t: 'capabilities', ...capabilities });
	}

	/** Encodes beside the next step; while one is on its way, or too soon after it, the step goes without. */
	#preview(running: Running, step: number, preview: () => Parameters<typeof encodePreviewJpeg>[0]): void {
		const { now = monotonicMs } = this.#options;
		if (running.previewing || now() - running.previewAt < TIMING.watchProgressMs) return;
		running.previewing = true;
		running.previewAt = now();
		void encodePreviewJpeg(preview())
			.then((jpeg) => this.#send({ t: 'preview', key: running.task.key, step, jpeg }))
			.catch(() => undefined)
			.finally(() => {
				running.previewing = false;
			});
	}

	#log(task: SlotTask, event: 'start' | 'step' | 'end', extra: object = {}): void {
		const { engineLog, slotId, now = Date.now } = this.#options;
		if (engineLog === undefined) return;
		const { jobId, index, epoch } = task.grant;
		const line = JSON.stringify({ slot: slotId, pid: process.pid, jobId, index, epoch, event, at: now(), ...extra });
		try {
			// Looked at once a task: the file grows by a line a step.
			if (event === 'start') rotate(engineLog);
			appendFileSync(engineLog, `${line}\n`, { mode: 0o600 });
		} catch {
			// A full disk must not cost the picture; the outbox reports it.
		}
	}
}

/**
 * Runs an engine on behalf of a slot: takes messages, makes pictures, answers messages. The same code in an engine
 * process and, for the mock engine, inside the node.
 * @module
 */
import { appendFileSync } from 'node:fs';
import { TIMING } from '@limner/shared';
import { EngineCancelled, EngineError, type Engine, type EngineHooks, type EnginePicture } from '../engines/types.ts';
import { monotonicMs } from '../lib/clock.ts';
import { rotate } from '../lib/rotate.ts';
import { messageOf } from '../lib/user-error.ts';
import { encodePicture, encodePreviewJpeg } from '../png/encode.ts';
import { newRecord, type PictureRecord } from '../png/record.ts';
import type { FromWorker, ResultMeta, SlotTask, ToWorker } from './messages.ts';

export interface HostOptions {
	slotId: string;
	/** JSON lines of what the engine did; none when absent. */
	engineLog?: string;
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

export class EngineHost {
	readonly #engine: Engine;
	readonly #send: (message: FromWorker) => void;
	readonly #options: HostOptions;
	#running: Running | undefined;

	constructor(engine: Engine, send: (message: FromWorker) => void, options: HostOptions) {
		this.#engine = engine;
		this.#send = send;
		this.#options = options;
	}

	/** Takes a message of the slot. */
	receive(message: ToWorker): void {
		const running = this.#running;
		switch (message.t) {
			case 'run':
				void this.#run(message.task);
				break;
			case 'cancel':
				if (running?.task.key === message.key) running.cancelled = true;
				break;
			case 'watch':
				if (running?.task.key === message.key) running.watched = message.on;
				break;
			case 'exit':
				this.#options.exit?.();
				break;
		}
	}

	async #run(task: SlotTask): Promise<void> {
		const running: Running = { task, cancelled: false, watched: task.watched, previewing: false, previewAt: Number.NEGATIVE_INFINITY };
		this.#running = running;
		this.#log(task, 'start');
		try {
			const message = await this.#make(running);
			this.#log(task, 'end', { outcome: 'done' });
			this.#send(message);
		} catch (error) {
			this.#log(task, 'end', { outcome: error instanceof EngineCancelled ? 'cancelled' : 'failed' });
			this.#send(this.#verdict(task.key, error));
		} finally {
			if (this.#running === running) this.#running = undefined;
		}
	}

	#verdict(key: string, error: unknown): FromWorker {
		if (error instanceof EngineCancelled) return { t: 'cancelled', key };
		if (error instanceof EngineError) return { t: 'failed', key, failure: error.failure, message: error.message };
		return { t: 'failed', key, failure: 'engine', message: `The engine failed: ${messageOf(error)}` };
	}

	async #make(running: Running): Promise<FromWorker> {
		const { task } = running;
		const loadStarted = performance.now();
		await this.#engine.load(task.model, (fraction) => this.#send({ t: 'loading', key: task.key, fraction }));
		const loadMs = performance.now() - loadStarted;
		if (running.cancelled) throw new EngineCancelled();
		const picture = await this.#engine.generate(task.request, task.inputs, this.#hooks(running));
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
			warnings: picture.warnings,
			timings: round({ loadMs, ...picture.timings, pngMs }),
		};
		return { t: 'done', key: task.key, png, meta };
	}

	#hooks(running: Running): EngineHooks {
		const { task } = running;
		return {
			onPhase: (phase) => this.#send({ t: 'phase', key: task.key, phase }),
			onStep: (step, steps, preview) => {
				this.#log(task, 'step', { step });
				this.#send({ t: 'step', key: task.key, step, steps });
				if (preview !== undefined && running.watched && step < steps) this.#preview(running, step, preview);
			},
			isCancelled: () => running.cancelled,
		};
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

/**
 * An engine without a model: noise that depends on nothing but the request. For tests and benchmarks of everything
 * around an engine; it is never chosen unless asked for by name.
 * @module
 */
import { createHash } from 'node:crypto';
import { EngineCancelled, EngineError, type Engine, type EngineModel, type EngineRequest } from '../types.ts';

export interface MockOptions {
	stepMs: number;
	loadMs: number;
}

const pause = async (ms: number): Promise<void> =>
	new Promise((resolve) => {
		if (ms > 0) setTimeout(resolve, ms);
		else setImmediate(resolve);
	});

/** xorshift32: fast and the same everywhere. */
const fillNoise = (bytes: Uint8Array, seed: number): void => {
	let state = seed === 0 ? 1 : seed;
	for (let i = 0; i < bytes.length; i++) {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		bytes[i] = state & 0xff;
	}
};

const seedOf = (request: EngineRequest): number => createHash('sha256').update(JSON.stringify(request)).digest().readUInt32LE(0);

/** The pixels that the mock makes of a request. */
export const mockPixels = (request: EngineRequest): Uint8Array => {
	const rgb = new Uint8Array(request.width * request.height * 3);
	fillNoise(rgb, seedOf(request));
	return rgb;
};

/** Prompts that make the mock misbehave, so that tests can see what the node does about it. */
const MISHAPS: Readonly<Record<string, () => Promise<void> | void>> = {
	'[mock:fail]': () => {
		throw new EngineError('engine', 'The mock engine was asked to fail.');
	},
	'[mock:invalid]': () => {
		throw new EngineError('invalid', 'The mock engine was asked to refuse.');
	},
	'[mock:oom]': () => {
		throw new EngineError('oom', 'The mock engine was asked to run out of memory.');
	},
	'[mock:crash]': () => process.abort(),
	'[mock:hang]': () => new Promise<void>(() => undefined),
	// A native call that never returns: no message gets in, only a kill helps.
	'[mock:block]': () => {
		for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
	},
};

const mishap = async (prompt: string): Promise<void> => {
	for (const [word, act] of Object.entries(MISHAPS)) if (prompt.includes(word)) await act();
};

const smallPreview = (seed: number): { rgb: Uint8Array; width: number; height: number } => {
	const rgb = new Uint8Array(16 * 16 * 3);
	fillNoise(rgb, seed);
	return { rgb, width: 16, height: 16 };
};

/** Makes a mock engine. */
export const createMockEngine = (options: MockOptions): Engine => {
	let loaded: EngineModel | undefined;
	return {
		name: 'mock',
		probe: async () => Promise.resolve({ ok: true }),
		capabilities: () => ({ device: { kind: 'mock', name: 'mock' }, maxBatch: 1 }),
		load: async (model, onProgress) => {
			if (loaded?.sha256 === model.sha256) return;
			onProgress(0);
			await pause(options.loadMs);
			loaded = model;
			onProgress(1);
		},
		generate: async (request, _inputs, hooks) => {
			const started = performance.now();
			hooks.onPhase('denoising');
			for (let step = 1; step <= request.steps; step++) {
				if (hooks.isCancelled()) throw new EngineCancelled();
				await pause(options.stepMs);
				if (step === Math.ceil(request.steps / 2)) await mishap(request.prompt);
				hooks.onStep(step, request.steps, () => smallPreview(step));
			}
			if (hooks.isCancelled()) throw new EngineCancelled();
			const denoiseMs = performance.now() - started;
			return {
				rgb: mockPixels(request),
				width: request.width,
				height: request.height,
				warnings: [],
				timings: { denoiseMs },
				inputHashes: {},
			};
		},
		unload: async () => {
			loaded = undefined;
			return Promise.resolve();
		},
		health: () => ({ loaded: loaded?.name, rssBytes: process.memoryUsage.rss() }),
	};
};

/**
 * An engine without a model: noise that depends on nothing but the request. For tests and benchmarks of everything
 * around an engine; it is never chosen unless asked for by name.
 * @module
 */
import { createHash } from 'node:crypto';
import { EngineCancelled, EngineError, singly, type Engine, type EngineModel, type EngineOutcome, type EngineRequest } from '../types.ts';

export interface MockOptions {
	stepMs: number;
	loadMs: number;
	/** Pictures at a time; 1 when absent. A step takes as long for all as for one. */
	maxBatch?: number;
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

/** The failure that a prompt asks for; a crash and a hang never come back. */
const mishapOf = async (prompt: string): Promise<EngineError | undefined> => {
	try {
		await mishap(prompt);
		return undefined;
	} catch (error) {
		if (error instanceof EngineError) return error;
		throw error;
	}
};

const smallPreview = (seed: number): { rgb: Uint8Array; width: number; height: number } => {
	const rgb = new Uint8Array(16 * 16 * 3);
	fillNoise(rgb, seed);
	return { rgb, width: 16, height: 16 };
};

/** Makes a mock engine. */
export const createMockEngine = (options: MockOptions): Engine => {
	let loaded: EngineModel | undefined;
	const generateBatch: Engine['generateBatch'] = async (items, hooks) => {
		const started = performance.now();
		const ended = new Map<number, EngineOutcome>();
		for (const item of items.keys()) hooks.onPhase(item, 'denoising');
		const most = Math.max(...items.map(({ request }) => request.steps));
		for (let step = 1; step <= most; step++) {
			for (const item of items.keys()) if (!ended.has(item) && hooks.isCancelled(item)) ended.set(item, new EngineCancelled());
			if (ended.size === items.length) break;
			await pause(options.stepMs);
			for (const [item, { request }] of items.entries()) {
				if (ended.has(item) || step > request.steps) continue;
				const problem = step === Math.ceil(request.steps / 2) ? await mishapOf(request.prompt) : undefined;
				if (problem !== undefined) ended.set(item, problem);
				else hooks.onStep(item, step, request.steps, () => smallPreview(step));
			}
		}
		const denoiseMs = (performance.now() - started) / items.length;
		return items.map(({ request }, item) => {
			const early = ended.get(item) ?? (hooks.isCancelled(item) ? new EngineCancelled() : undefined);
			if (early !== undefined) return early;
			const { width, height } = request;
			return { rgb: mockPixels(request), width, height, warnings: [], timings: { denoiseMs }, inputHashes: {} };
		});
	};
	return {
		name: 'mock',
		probe: async () => Promise.resolve({ ok: true }),
		capabilities: () => ({ device: { kind: 'mock', name: 'mock' }, maxBatch: options.maxBatch ?? 1 }),
		load: async (model, onProgress) => {
			if (loaded?.sha256 === model.sha256) return;
			onProgress(0);
			await pause(options.loadMs);
			loaded = model;
			onProgress(1);
		},
		generate: singly(generateBatch),
		generateBatch,
		unload: async () => {
			loaded = undefined;
			return Promise.resolve();
		},
		health: () => ({ loaded: loaded?.name, held: loaded === undefined ? [] : [loaded.name], rssBytes: process.memoryUsage.rss() }),
	};
};

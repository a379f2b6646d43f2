import { describe, expect, it } from 'vitest';
import { BatchPolicy, processMemory } from './batch-policy.ts';
import { DenoiserRun, type DenoiserPlan } from './denoiser.ts';
import { InferenceError } from '../errors.ts';
import type { ModelSession } from '../session.ts';

const GIB = 1024 ** 3;
const gauge = (free: number) => {
	const state = { used: 0, free };
	return { state, used: () => state.used, free: () => state.free };
};

describe('BatchPolicy', () => {
	it('takes as many whole pictures as memory holds, and single rows when not even one fits', async () => {
		const memory = gauge(8 * GIB);
		const policy = new BatchPolicy({ gauge: memory, maxBatch: 16 });
		policy.rows('s', 4096, 2, 16);
		await policy.measured('s', 2, async () => {
			memory.state.used += 1 * GIB;
			return Promise.resolve();
		});
		// half of 8 GiB at 0.5 GiB a row
		expect(policy.rows('s', 4096, 2, 16)).toBe(8);
		memory.state.free = 7 * GIB;
		expect(policy.rows('s', 4096, 2, 16)).toBe(6);
		expect(policy.rows('s', 4096, 1, 16)).toBe(7);
		memory.state.free = 1.9 * GIB;
		expect(policy.rows('s', 4096, 2, 16)).toBe(1);
		expect(policy.rows('s', 4096, 2, 1)).toBe(1);
	});

	it('keeps the largest measure, and takes no growth for none', async () => {
		const memory = gauge(8 * GIB);
		const policy = new BatchPolicy({ gauge: memory, maxBatch: 16 });
		for (const grown of [GIB, 0, GIB / 4]) {
			await policy.measured('s', 1, async () => {
				memory.state.used += grown;
				return Promise.resolve();
			});
		}
		expect(policy.rows('s', 1, 1, 16)).toBe(4);
		expect(policy.maxBatchPx(64)).toBe(4 * 64);
		policy.rows('s', 100, 2, 16);
		// half of 8 GiB at 2 GiB for the two rows of 100 cells
		expect(policy.maxBatchPx(64)).toBe(2 * 100 * 64);
	});

	it('does not believe that a shape is small because it ran where a larger one had been', async () => {
		const memory = gauge(8 * GIB);
		const policy = new BatchPolicy({ gauge: memory, maxBatch: 16 });
		const run = async (shape: string, cells: number, grown: number): Promise<void> => {
			policy.rows(shape, cells, 1, 1);
			await policy.measured(shape, 1, async () => Promise.resolve(void (memory.state.used += grown)));
		};
		await run('large', 4096, GIB);
		await run('medium', 2048, 8192);
		expect(policy.rows('medium', 2048, 1, 16)).toBe(8);
		expect(policy.rows('huge', 8192, 1, 16)).toBe(2);
	});

	it('never goes above what was asked for, what the owner allows, and what ran out before', () => {
		const policy = new BatchPolicy({ gauge: gauge(1000 * GIB), maxBatch: 4 });
		expect([1, 3, 9].map((pictures) => policy.rows('s', 64, 2, pictures))).toEqual([2, 6, 8]);
		policy.ranOut('s', 6);
		expect(policy.rows('s', 64, 2, 9)).toBe(4);
		expect(policy.rows('other', 64, 2, 9)).toBe(8);
		policy.ranOut('s', 2);
		expect(policy.rows('s', 64, 2, 9)).toBe(1);
	});

	it('turns batches off for good when one changed bytes', () => {
		const policy = new BatchPolicy({ gauge: gauge(1000 * GIB) });
		policy.compared('s', 8, true);
		expect([policy.isChecked('s', 8), policy.isChecked('s', 6), policy.maxBatch]).toEqual([true, false, 4]);
		policy.compared('s', 6, false);
		expect([policy.maxBatch, policy.rows('s', 64, 2, 4)]).toEqual([1, 2]);
	});

	it('reads the memory of this process', () => {
		expect(processMemory.used()).toBeGreaterThan(1e6);
		expect(processMemory.free()).toBeGreaterThan(1e6);
	});
});

const limit = (most: number) => (rows: number) => {
	if (rows > most) throw new InferenceError('std::bad_alloc');
};

const bind = (_name: string, values: Float32Array) => ({ tensor: values, refresh: () => undefined });
/** A network that doubles its input, and lets `spoil` change a result or throw. */
const network = (runs: number[], spoil: (rows: number, out: Float32Array) => void): ModelSession => {
	const ports = ['sample', 'timestep', 'encoder_hidden_states'].map((name) => [name, { type: 'float32', shape: [] }] as const);
	const run = async (feeds: { sample: Float32Array }) => {
		const rows = feeds.sample.length / 4;
		runs.push(rows);
		const out = feeds.sample.map((v) => 2 * v);
		spoil(rows, out);
		return Promise.resolve(new Map([['out', out]]));
	};
	return { inputs: new Map(ports), outputs: new Map(), outputNames: ['out'], bind, run, reserve: () => null } as unknown as ModelSession;
};

describe('DenoiserRun', () => {
	const text = { hidden: new Float32Array(2), tokens: 1, width: 2, pooled: null, cut: [] };
	const lane = { positive: text, negative: text, timeIds: null, extra: null };
	const plan = (count: number): DenoiserPlan => ({
		channels: 1,
		height: 2,
		width: 2,
		guidance: 3,
		guidanceRescale: 0,
		lanes: Array.from({ length: count }, () => lane),
	});
	const predict = async (session: ModelSession, count: number, policy: BatchPolicy, times = 1): Promise<number[]> => {
		const run = new DenoiserRun(session, plan(count), policy);
		for (let time = 0; time < times; time++) {
			await run.predict(
				1,
				Array.from({ length: count }, (_, k) => k),
				(k, into) => into.fill(k + 1),
			);
		}
		return run.outputs.map((out) => out[0] ?? Number.NaN);
	};
	const roomy = { used: () => 0, free: () => 1000 * GIB };

	it('compares a batch with its first picture once, and runs it as it is afterwards', async () => {
		const runs: number[] = [];
		const session = network(runs, () => undefined);
		expect(await predict(session, 3, new BatchPolicy({ gauge: roomy }), 2)).toEqual([2, 4, 6]);
		expect(runs).toEqual([2, 6, 6]);
	});

	it('writes where the network reads and hands out what it wrote: no copies, no new memory', async () => {
		const fed = new Set<ArrayBufferLike>();
		const reserved = new Map<string, { values: Float32Array }>();
		const session = Object.assign(
			network([], () => undefined),
			{
				reserve: (name: string, dims: number[]) => {
					const memory = { values: new Float32Array(dims.reduce((a, b) => a * b, 1)) };
					reserved.set(`${name} ${dims.join('×')}`, memory);
					return memory;
				},
				run: async ({ sample }: { sample: Float32Array }, _names: string[], into: Map<string, { values: Float32Array }>) => {
					fed.add(sample.buffer);
					const out = into.get('out')?.values ?? new Float32Array(sample.length);
					out.set(sample.map((v) => 2 * v));
					return Promise.resolve(new Map([['out', out]]));
				},
			},
		);
		const run = new DenoiserRun(session, plan(2), new BatchPolicy({ gauge: roomy }));
		const written = new Set<ArrayBufferLike>();
		const outputs: Float32Array[][] = [];
		for (let step = 1; step <= 4; step++) {
			await run.predict(step, [0, 1], (k, into) => void written.add(into.fill(step + k).buffer));
			outputs.push([...run.outputs]);
			expect(run.outputs.map((out) => [...out])).toEqual([Array(4).fill(2 * step), Array(4).fill(2 * step + 2)]);
		}
		// one buffer for the batch, and one for the picture that it was compared with in the first step
		expect([...written]).toEqual([...fed]);
		expect(fed.size).toBe(2);
		// the first run shows how many channels an export has that does not say so
		expect([...reserved.keys()]).toEqual(['out 2×1×2×2', 'out 4×1×2×2']);
		const memory = reserved.get('out 4×1×2×2')?.values.buffer;
		for (const [k, out] of (outputs[3] ?? []).entries()) {
			expect(out.buffer).toBe(memory);
			expect(outputs[1]?.[k]).toBe(out);
			expect(outputs[2]?.[k]).toBe(out);
		}
	});

	it('goes one by one where a batch changes bytes', async () => {
		const runs: number[] = [];
		const session = network(runs, (rows, out) => {
			if (rows > 2) out[0] = Math.fround((out[0] as number) * (1 + 1e-6));
		});
		expect(await predict(session, 3, new BatchPolicy({ gauge: roomy }), 2)).toEqual([2, 4, 6]);
		expect(runs).toEqual([2, 6, 2, 2, 2, 2, 2, 2]);
	});

	it('takes fewer rows when memory runs out, down to one, and then says so', async () => {
		const runs: number[] = [];
		expect(await predict(network(runs, limit(2)), 3, new BatchPolicy({ gauge: roomy }))).toEqual([2, 4, 6]);
		expect(runs).toEqual([2, 6, 2, 4, 2, 2, 2]);
		const halves: number[] = [];
		expect(await predict(network(halves, limit(1)), 1, new BatchPolicy({ gauge: roomy }))).toEqual([2]);
		expect(halves).toEqual([2, 1, 1]);
		await expect(predict(network([], limit(0)), 1, new BatchPolicy({ gauge: roomy }))).rejects.toThrow('bad_alloc');
	});
});

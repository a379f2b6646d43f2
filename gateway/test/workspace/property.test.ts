import { evictDurableObject, reset, runDurableObjectAlarm } from 'cloudflare:test';
import * as fc from 'fast-check';
import { afterEach, expect, it } from 'vitest';
import { chainOf, count, makeWorkspace, settlement, stubOf, submission } from './fixtures.ts';

afterEach(async () => {
	await reset();
});

type Op =
	| { op: 'submit'; key: number | null; body: number; times: number }
	| { op: 'settle'; picks: number[]; state: 'succeeded' | 'failed' | 'canceled' | 'expired'; images: number }
	| { op: 'evict' }
	| { op: 'alarm' };

const op: fc.Arbitrary<Op> = fc.oneof(
	{
		weight: 4,
		arbitrary: fc.record({
			op: fc.constant('submit' as const),
			key: fc.option(fc.nat({ max: 3 })),
			body: fc.nat({ max: 1 }),
			times: fc.integer({ min: 1, max: 3 }),
		}),
	},
	{
		weight: 4,
		arbitrary: fc.record({
			op: fc.constant('settle' as const),
			picks: fc.array(fc.nat({ max: 30 }), { minLength: 1, maxLength: 5 }),
			state: fc.constantFrom('succeeded' as const, 'failed' as const, 'canceled' as const, 'expired' as const),
			images: fc.nat({ max: 4 }),
		}),
	},
	{ weight: 1, arbitrary: fc.constant({ op: 'evict' as const }) },
	{ weight: 1, arbitrary: fc.constant({ op: 'alarm' as const }) },
);

const usageOf = (images: number) => ({ images, megapixelSteps: Math.round(images * 16.384) / 1000 });

/** The model: which jobs exist, what each Idempotency-Key stands for, and what each job was first settled with. */
class Model {
	readonly jobs: string[] = [];
	readonly byKey = new Map<number, { body: number; id: string }>();
	readonly settled = new Map<string, number>();

	submitted(id: string): void {
		if (!this.jobs.includes(id)) this.jobs.push(id);
	}

	settle(id: string, images: number): 'settled' | 'already' {
		if (this.settled.has(id)) return 'already';
		this.settled.set(id, images);
		return 'settled';
	}
}

const submit = async (
	ws: string,
	model: Model,
	rpc: Awaited<ReturnType<typeof makeWorkspace>>,
	step: Op & { op: 'submit' },
): Promise<void> => {
	const { key, body } = step;
	const input = submission(ws, key === null ? {} : { idempotency: { key: `k${key}`, bodyHash: `b${body}` } });
	const answers = await Promise.all(Array.from({ length: step.times }, () => rpc.submit(ws, input)));
	for (const answer of answers) {
		const before = key === null ? undefined : model.byKey.get(key);
		if (before !== undefined && before.body !== body) {
			expect(answer).toMatchObject({ ok: false, code: 'idempotency_mismatch' });
			continue;
		}
		if (!answer.ok) throw new Error(answer.code);
		expect(answer.replayed).toBe(before !== undefined);
		if (before !== undefined) expect(answer.row.id).toBe(before.id);
		else expect(model.jobs).not.toContain(answer.row.id);
		model.submitted(answer.row.id);
		if (key !== null) model.byKey.set(key, { body, id: answer.row.id });
	}
};

/** Two deliveries at once, as a Pool that restarts while its first call is on its way makes them. */
const settle = async (
	ws: string,
	model: Model,
	rpc: Awaited<ReturnType<typeof makeWorkspace>>,
	step: Op & { op: 'settle' },
): Promise<void> => {
	const ids = step.picks.map((pick) => model.jobs[pick]).filter((id) => id !== undefined);
	const batch = ids.map((id) => settlement(ws, id, { state: step.state, usage: usageOf(step.images), images: [] }));
	const [first, second] = await Promise.all([rpc.settleBatch(batch), rpc.settleBatch(batch)]);
	expect(first.map(({ outcome }) => outcome)).toEqual(ids.map((id) => model.settle(id, step.images)));
	expect(second.every(({ outcome }) => outcome === 'already')).toBe(true);
};

let run = 0;

it('charges each job once, whatever the order of submits, repeats, settlements, evictions and alarms', async () => {
	await fc.assert(
		fc.asyncProperty(fc.array(op, { minLength: 1, maxLength: 25 }), async (steps) => {
			const ws = `prop-${run++}`;
			const rpc = await makeWorkspace(ws);
			const model = new Model();
			for (const step of steps) {
				if (step.op === 'submit') await submit(ws, model, rpc, step);
				else if (step.op === 'settle') await settle(ws, model, rpc, step);
				else if (step.op === 'evict') {
					await rpc.usage();
					await evictDurableObject(stubOf(ws));
				} else await runDurableObjectAlarm(stubOf(ws));
			}
			await rpc.usage();
			await evictDurableObject(stubOf(ws));
			const images = [...model.settled.values()].reduce((sum, n) => sum + n, 0);
			const usage = await rpc.usage();
			expect(usage).toMatchObject({ images, settledJobs: model.settled.size, openJobs: model.jobs.length - model.settled.size });
			const sum = [...model.settled.values()].reduce((total, n) => total + usageOf(n).megapixelSteps, 0);
			expect(usage.megapixelSteps).toBeCloseTo(sum, 6);
			expect(await count(ws, 'jobs')).toBe(model.jobs.length);
			expect(await chainOf(ws)).toMatchObject({ ok: true });
		}),
		{ numRuns: 25 },
	);
}, 120_000);

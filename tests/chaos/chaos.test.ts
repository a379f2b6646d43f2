/**
 * The parts of the chaos run that decide: a plan that is the same again, and an auditor that finds what is wrong.
 * @module
 */
import { describe, expect, it } from 'vitest';
import type { HistEntry } from '@limner/shared';
import { audit, sha256, type Evidence } from './audit.ts';
import { regrants } from './regrant.ts';
import { FULL_COUNTS, planChaos, type FaultKind } from './schedule.ts';

const OPTIONS = { seed: 7, jobs: 300, nodes: 6, workspaces: 3 };

describe('plan', () => {
	it('is the same for a seed, and another for another', () => {
		expect(planChaos(OPTIONS)).toEqual(planChaos(OPTIONS));
		expect(planChaos({ ...OPTIONS, seed: 8 })).not.toEqual(planChaos(OPTIONS));
	});
	it('has every fault that the storm promises, at any size', () => {
		const { faults, jobs } = planChaos(OPTIONS);
		for (const kind of Object.keys(FULL_COUNTS) as FaultKind[])
			expect(faults.filter((fault) => fault.kind === kind)).toHaveLength(FULL_COUNTS[kind]);
		expect(faults.filter(({ kind }) => kind === 'kill' || kind === 'stop').length).toBeGreaterThanOrEqual(30);
		expect(new Set(jobs.map((job) => job.ws))).toEqual(new Set([0, 1, 2]));
		expect(new Set(planChaos({ ...OPTIONS, jobs: 5 }).faults.map((fault) => fault.kind))).toEqual(new Set(Object.keys(FULL_COUNTS)));
	});
});

const entry = (at: number, type: HistEntry['type'], extra: Partial<HistEntry> = {}): HistEntry => ({
	rev: at,
	at,
	type,
	who: 'pool',
	...extra,
});
const picture = new TextEncoder().encode('pixels');
const image = {
	index: 0,
	key: 'w/main/job_a/0/1-x.png',
	epoch: 1,
	nodeId: 'n1',
	contentType: 'image/png',
	bytes: picture.length,
	sha256: sha256(picture),
	width: 8,
	height: 8,
	seed: 1,
	at: 30,
};

/** One job with one picture, settled, everything as it must be. */
const sound = (): Evidence => ({
	submitted: [{ id: 'job_a', ws: 'main', n: 1 }],
	jobs: [
		{
			id: 'job_a',
			ws: 'main',
			state: 'succeeded',
			images: [image],
			usage: { images: 1, megapixelSteps: 0.5 },
			hist: [
				entry(10, 'queued'),
				entry(20, 'assigned', { index: 0, epoch: 1, nodeId: 'n1' }),
				entry(30, 'image', { index: 0 }),
				entry(31, 'succeeded'),
			],
			error: null,
		},
	],
	ledger: [
		{
			ws: 'main',
			seq: 1,
			prev: '0'.repeat(64),
			hash: 'h1',
			totals: { images: 1, megapixelSteps: 0.5, settledJobs: 1 },
			entries: [{ type: 'settle', job: 'job_a', state: 'succeeded', usage: { images: 1, megapixelSteps: 0.5 } }],
		},
	],
	objects: [{ key: image.key, bytes: image.bytes, sha256: image.sha256 }],
	live: [{ id: 'job_a', state: 'done' }],
	outboxes: [{ node: 'n1', files: [] }],
	orphans: [],
});

type Job = Evidence['jobs'][number];
const withJob = (change: Partial<Job>) => (evidence: Evidence) => ({
	...evidence,
	jobs: evidence.jobs.map((job) => ({ ...job, ...change })),
});

describe('auditor', () => {
	it('finds nothing wrong with a sound run', () => {
		expect(audit(sound())).toEqual([]);
	});

	const planted: [string, (evidence: Evidence) => Evidence, RegExp][] = [
		['an open job', withJob({ state: 'running' }), /still running/],
		['a lost job', (evidence) => ({ ...evidence, jobs: [] }), /has no row/],
		['a job twice', (evidence) => ({ ...evidence, submitted: [] }), /nobody submitted/],
		['a missing picture', withJob({ images: [], usage: { images: 0, megapixelSteps: 0 } }), /succeeded with 0 of 1/],
		['a picture twice', withJob({ images: [image, image], usage: { images: 2, megapixelSteps: 0.5 } }), /lists a picture twice/],
		['a wrong charge', withJob({ usage: { images: 2, megapixelSteps: 0.5 } }), /is charged 2/],
		[
			'a canceled job that succeeds',
			(evidence) => ({ ...evidence, submitted: [{ id: 'job_a', ws: 'main', n: 1, canceledAt: 15 }] }),
			/canceled and succeeded/,
		],
		['a skipped epoch', withJob({ hist: [entry(20, 'assigned', { index: 0, epoch: 2 }), entry(31, 'succeeded')] }), /epoch 2 instead of 1/],
		[
			'a grant after the picture',
			withJob({
				hist: [
					entry(20, 'assigned', { index: 0, epoch: 1 }),
					entry(30, 'image', { index: 0 }),
					entry(40, 'assigned', { index: 0, epoch: 2 }),
					entry(50, 'succeeded'),
				],
			}),
			/although its picture is there/,
		],
		['a second ending', withJob({ hist: [entry(1, 'succeeded'), entry(2, 'failed')] }), /ended 2 times/],
		['a lost object', (evidence) => ({ ...evidence, objects: [] }), /is missing/],
		[
			'an orphan object',
			(evidence) => ({ ...evidence, objects: [...evidence.objects, { key: 'w/main/job_a/0/2-y.png', bytes: 1, sha256: '' }] }),
			/belongs to no picture/,
		],
		[
			'other bytes',
			(evidence) => ({ ...evidence, objects: [{ ...evidence.objects[0]!, sha256: 'ff' }] }),
			/not the picture that was accepted/,
		],
		['a broken chain', (evidence) => ({ ...evidence, ledger: evidence.ledger.map((row) => ({ ...row, prev: 'x' })) }), /chain breaks/],
		[
			'usage that drifts',
			(evidence) => ({ ...evidence, ledger: evidence.ledger.map((row) => ({ ...row, totals: { ...row.totals, images: 2 } })) }),
			/usage of main is 2 pictures/,
		],
		[
			'a job settled twice',
			(evidence) => ({ ...evidence, ledger: evidence.ledger.map((row) => ({ ...row, entries: [...row.entries, ...row.entries] })) }),
			/settled twice/,
		],
		['an open row', (evidence) => ({ ...evidence, live: [{ id: 'job_a', state: 'open' }] }), /pool still holds/],
		['a full outbox', (evidence) => ({ ...evidence, outboxes: [{ node: 'n1', files: ['a.bin'] }] }), /still holds a.bin/],
		['a process left over', (evidence) => ({ ...evidence, orphans: [{ pid: 5, command: 'node' }] }), /process 5 is left over/],
	];
	it.each(planted)('finds %s', (_name, spoil, sentence) => {
		expect(audit(spoil(sound())).join('\n')).toMatch(sentence);
	});
});

describe('time to the next grant', () => {
	const hist = [
		entry(10, 'queued'),
		entry(20, 'assigned', { index: 0, epoch: 1, nodeId: 'n1' }),
		entry(120, 'requeued', { index: 0, epoch: 1 }),
		entry(130, 'assigned', { index: 0, epoch: 2, nodeId: 'n2' }),
		entry(200, 'image', { index: 0, nodeId: 'n2' }),
		entry(201, 'succeeded'),
	];
	const after = (nodeId: string, at: number): (number | null)[] =>
		regrants([{ id: 'job_a', hist }], [{ kind: 'kill', nodeId, at }]).map((found) => found.afterMs);

	it('is measured for what the victim held, and only then', () => {
		expect(after('n1', 100)).toEqual([30]);
		expect(after('n1', 15)).toEqual([]);
		expect(after('n1', 150)).toEqual([]);
		expect(after('n2', 100)).toEqual([]);
	});
	it('is not charged to a fault when another one came in between', () => {
		const faults = [
			{ kind: 'drop' as const, nodeId: 'n1', at: 50 },
			{ kind: 'kill' as const, nodeId: 'n1', at: 100 },
		];
		expect(regrants([{ id: 'job_a', hist }], faults).map(({ fault, mixed }) => [fault.kind, mixed])).toEqual([
			['drop', true],
			['kill', false],
		]);
	});
	it('tells apart what waited for a slot that was taken, or for a node that was away', () => {
		const mine = [
			entry(10, 'assigned', { index: 0, epoch: 1, nodeId: 'n1', slotId: 's0' }),
			entry(9000, 'assigned', { index: 0, epoch: 2, nodeId: 'n2', slotId: 's0' }),
		];
		const busy = (from: number, to: number, slotId = 's0') => ({
			id: 'job_b',
			hist: [entry(from, 'assigned', { index: 0, epoch: 1, nodeId: 'n2', slotId }), entry(to, 'image', { index: 0 })],
		});
		const kill = { kind: 'kill' as const, nodeId: 'n1', at: 8000 };
		const waited = (other: ReturnType<typeof busy>, ...faults: Parameters<typeof regrants>[1]): boolean[] =>
			regrants([{ id: 'job_a', hist: mine }, other], [kill, ...faults])
				.filter(({ jobId, fault }) => jobId === 'job_a' && fault === kill)
				.map((found) => found.waited);
		expect(waited(busy(100, 7000))).toEqual([false]);
		expect(waited(busy(100, 8990))).toEqual([true]);
		expect(waited(busy(100, 9500))).toEqual([true]);
		expect(waited(busy(100, 8990, 's1'))).toEqual([false]);
		expect(waited(busy(9500, 9900))).toEqual([false]);
		expect(waited(busy(100, 200), { kind: 'kill', nodeId: 'n2', at: 5000, downMs: 1000 })).toEqual([true]);
		expect(waited(busy(100, 200), { kind: 'kill', nodeId: 'n2', at: 1000, downMs: 1000 })).toEqual([false]);
	});
	it('tells a holder that finished in spite of it', () => {
		expect(after('n2', 150)).toEqual([null]);
	});
});

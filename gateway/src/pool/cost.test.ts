/**
 * What a decision costs, in operations: the engine counts how often each block of the pool's code runs, so neither the
 * machine nor what else it does matters. Seconds are the simulator's and the benchmark's business.
 */
import { Session } from 'node:inspector';
import { describe, expect, it } from 'vitest';
import type { JobSpec, TaskType } from '@limner/shared';
import { Bench, type TaskSend } from './sim/bench.ts';
import { modelOf, sourcedModel } from './sim/fixtures.ts';

interface Coverage {
	result: { url: string; functions: { ranges: { count: number }[] }[] }[];
}

/** Runs of all blocks of the pool's core (not of simulator and tests) while `act` runs. */
const blocksOf = (act: () => void): number => {
	const session = new Session();
	session.connect();
	const ask = (method: string, params: object = {}): Coverage => {
		let answer: unknown;
		session.post(method, params, (_, found) => (answer = found));
		return answer as Coverage;
	};
	ask('Profiler.enable');
	ask('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
	act();
	const { result } = ask('Profiler.takePreciseCoverage');
	ask('Profiler.stopPreciseCoverage');
	session.disconnect();
	const core = result.filter(({ url }) => /\/src\/pool\/[a-z]+\.ts/.test(url));
	if (core.length === 0) throw new Error('the engine counted nothing');
	return core.flatMap(({ functions }) => functions.flatMap(({ ranges }) => ranges)).reduce((sum, { count }) => sum + count, 0);
};

interface World {
	bench: Bench;
	nodeId: string;
	/** Ends the one picture in work, which grants the next one. */
	next(): void;
}

/** A busy slot and so many tasks that wait, of several workspaces, most of which no node can do. */
const worldOf = (tasks: number, infeasible: (i: number) => Partial<JobSpec>): World => {
	const bench = new Bench({ quiet: true });
	const identity = bench.identity();
	bench.join(identity);
	bench.submit();
	for (let i = 0; i < tasks; i++) {
		const feasible = i % 10 === 0;
		bench.submit(feasible ? {} : infeasible(i), { ws: `ws${i % 50}` });
	}
	return {
		bench,
		nodeId: identity.nodeId,
		next: () => {
			const grant = bench.grant();
			bench.complete(grant, identity.nodeId);
		},
	};
};

/** Blocks of a grant while so many nodes stand idle that cannot take part. */
const costBeside = (nodes: number): number => {
	const bench = new Bench({ quiet: true });
	for (let i = 0; i < nodes; i++) bench.join(bench.identity(), { models: [modelOf('other')] });
	const identity = bench.identity();
	bench.join(identity);
	for (let i = 0; i < 20; i++) bench.submit();
	const grant = bench.grant();
	// Idle nodes hear every two seconds why they idle: that look is not part of the decision.
	bench.complete(grant, identity.nodeId);
	const second = bench.grant();
	return blocksOf(() => void bench.complete(second, identity.nodeId));
};

const AGENTS: TaskType[] = ['INGEST', 'HEARTBEAT'];

/** Blocks of a picture's grant while so many nodes stand idle and as many tasks wait that look after other, absent nodes. */
const costBesideCare = (count: number, care: (nodeId: string) => Partial<JobSpec>): number => {
	const bench = new Bench({ quiet: true });
	for (let i = 0; i < count; i++) bench.join(bench.identity(), { models: [modelOf('other')], taskTypes: AGENTS });
	for (let i = 0; i < count; i++) bench.submit(care(bench.identity().nodeId));
	const identity = bench.identity();
	bench.join(identity, { taskTypes: AGENTS });
	for (let i = 0; i < 20; i++) bench.submit();
	const held = (): TaskSend => bench.grants().findLast((grant) => grant.job.spec.taskType === undefined) ?? bench.grant();
	bench.complete(held(), identity.nodeId);
	const second = held();
	return blocksOf(() => void bench.complete(second, identity.nodeId));
};

/** Blocks of a hello while so many models wait to be taken away from other nodes. */
const costBesideMoves = (count: number): number => {
	const bench = new Bench({ quiet: true });
	const absent = bench.identity().nodeId;
	for (let i = 0; i < count; i++) {
		const from = bench.identity();
		bench.join(from, { models: [sourcedModel('moved')], taskTypes: ['MIGRATION'] });
		// The removal at the old place waits until the model is at the new one.
		bench.submit({ taskType: 'MIGRATION', model: 'moved', n: 2, nodeId: absent, params: { from: from.nodeId } });
	}
	const join = (): void => void bench.join(bench.identity(), { models: [modelOf('other')] });
	return Math.min(...[1, 2, 3].map(() => blocksOf(join)));
};

const SMALL = 1000;
const LARGE = 32_000;

describe('the cost of a decision', () => {
	it.each<[string, (i: number) => Partial<JobSpec>]>([
		['many models that nobody has', (i) => ({ model: `none${i % 200}`, priority: 9 })],
		[
			'an operation or a size that the model cannot make',
			(i) => ({ ...(i % 2 === 0 ? { task: 'inpaint' } : { width: 129 }), priority: 9 }),
		],
		['nothing: all of it is feasible', () => ({})],
	])(
		'grows with the logarithm of what waits, behind work that needs %s',
		(_, infeasible) => {
			const cost = (tasks: number): { grant: number; enqueue: number; cancel: number } => {
				const world = worldOf(tasks, infeasible);
				for (let i = 0; i < 5; i++) world.next();
				const grant = Math.min(...[1, 2, 3].map(() => blocksOf(() => world.next())));
				expect(world.bench.grants()).toHaveLength(1);
				const made: string[] = [];
				const submit = (): void => void made.push(world.bench.submit({}, { ws: 'ws7' }).id);
				const enqueue = Math.min(...[1, 2, 3].map(() => blocksOf(submit)));
				const cancel = Math.min(...made.map((jobId) => blocksOf(() => void world.bench.on('cancel', { ws: 'ws7', jobId, who: 'key:k' }))));
				return { grant, enqueue, cancel };
			};
			const small = cost(SMALL);
			const large = cost(LARGE);
			// 32 times as much waits, and its logarithm grows by half. Paths of heaps and trees vary, so the least of three counts; a scan would cost 32 times.
			for (const kind of ['grant', 'enqueue', 'cancel'] as const) expect(large[kind], kind).toBeLessThan(small[kind] * 4);
		},
		180_000,
	);

	it('does not grow with the slots that stand free for other work', () => {
		expect(costBeside(2000)).toBeLessThan(costBeside(100) * 2);
	}, 60_000);

	it.each<[string, Partial<JobSpec>]>([
		['that no node can take', { model: 'nobody has it' }],
		['that waits for a busy slot', {}],
		['that is meant for one node', { taskType: 'HEARTBEAT', nodeId: 'node_that_never_was' }],
	])(
		'of a submit %s does not grow with the nodes that are asked',
		(_, change) => {
			const cost = (nodes: number): number => {
				const bench = new Bench({ quiet: true });
				for (let i = 0; i < nodes; i++) bench.join(bench.identity(i % 2 === 0 ? {} : { trust: 'own' }), { taskTypes: AGENTS });
				for (let i = 0; i < nodes + 5; i++) bench.submit();
				bench.submit(change);
				return Math.min(...[1, 2, 3].map(() => blocksOf(() => void bench.submit(change))));
			};
			expect(cost(1600)).toBeLessThan(cost(100) * 1.5);
		},
		60_000,
	);

	it.each<[string, (nodeId: string) => Partial<JobSpec>]>([
		['an agent', (nodeId) => ({ taskType: 'INGEST', nodeId, params: { source: 'a/b', name: 'b' } })],
		['a device', (nodeId) => ({ taskType: 'HEARTBEAT', nodeId })],
	])(
		'does not grow with the tasks that wait for %s of a node that is away',
		(_, care) => {
			expect(costBesideCare(1000, care)).toBeLessThan(costBesideCare(50, care) * 2);
		},
		60_000,
	);

	it('of a node that comes does not grow with the tasks that wait for something of other nodes', () => {
		expect(costBesideMoves(800)).toBeLessThan(costBesideMoves(50) * 2);
	}, 60_000);
});

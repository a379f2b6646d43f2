import { describe, expect, it } from 'vitest';
import { Bench, refOf } from './sim/bench.ts';
import { modelOf, slotsOf } from './sim/fixtures.ts';
import { overviewOf, poolTasks } from './views.ts';
import { modelHistory, nodeHistory } from './workstats.ts';

const WHO = 'key:k';
const busy = (slots = 1) => {
	const bench = new Bench();
	const identity = bench.identity();
	const connId = bench.join(identity, { slots: slotsOf(slots) });
	const job = bench.submit();
	const grant = bench.grant();
	bench.ack(grant);
	return { bench, nodeId: identity.nodeId, identity, connId, job, grant };
};

describe('pause', () => {
	it('lets the running task finish, and with now gives it to others without counting an attempt', () => {
		const { bench, nodeId, grant } = busy();
		bench.on('setMode', { ws: 'acme', nodeId, mode: 'paused', reason: '' });
		expect(bench.state.jobs.get(grant.job.id)?.tasks[0]?.state).toBe('leased');
		bench.clear();
		bench.on('setMode', { ws: 'acme', nodeId, mode: 'paused', reason: '', now: true });
		expect(bench.state.jobs.get(grant.job.id)?.tasks[0]).toMatchObject({ state: 'queued', fails: [], losses: 0 });
		expect(bench.frames('cancel')).toMatchObject([refOf(grant)]);
		expect(bench.complete(grant, nodeId)).toBe('stale');
		bench.join(bench.identity());
		expect(bench.grant().epoch).toBe(2);
	});

	it('leaves a picture that is on its way to its node', () => {
		const { bench, nodeId, grant } = busy();
		bench.generated(grant);
		bench.on('setMode', { ws: 'acme', nodeId, mode: 'paused', reason: '', now: true });
		expect(bench.complete(grant, nodeId)).toBe('accepted');
	});
});

describe('size', () => {
	it('is told to the node, kept over a restart, and told again to a node that comes back with another', () => {
		const { bench, nodeId, identity } = busy();
		expect(bench.on('resize', { ws: 'acme', nodeId, slots: 4 })).toMatchObject({ ok: true, node: { wantedSlots: 4 } });
		expect(bench.frames('resize')).toEqual([{ t: 'resize', slots: 4 }]);
		bench.clear();
		bench.restart();
		bench.join(identity, { slots: slotsOf(1) });
		expect(bench.frames('resize')).toEqual([{ t: 'resize', slots: 4 }]);
	});

	it.each([0, 17, 1.5])('refuses %d slots', (slots) => {
		const { bench, nodeId } = busy();
		expect(bench.on('resize', { ws: 'acme', nodeId, slots })).toMatchObject({ ok: false, code: 'validation_failed' });
	});

	it('is of the own nodes only', () => {
		const { bench, nodeId } = busy();
		expect(bench.on('resize', { ws: 'bolt', nodeId, slots: 2 })).toMatchObject({ ok: false, code: 'not_found' });
	});
});

describe('moving a node', () => {
	it('waits until it is idle, and is not for a node that belongs to its workspace alone', () => {
		const { bench, nodeId, grant, connId } = busy();
		expect(bench.on('move', { ws: 'acme', nodeId, shard: 1 })).toMatchObject({ ok: false, code: 'conflict' });
		bench.complete(grant, nodeId);
		bench.clear();
		expect(bench.on('move', { ws: 'acme', nodeId, shard: 1 })).toMatchObject({ ok: true });
		expect(bench.sends).toContainEqual({ kind: 'move', connId, shard: 1 });
		const own = bench.identity({ trust: 'own' });
		bench.join(own);
		expect(bench.on('move', { ws: 'acme', nodeId: own.nodeId, shard: 1 })).toMatchObject({ ok: false, code: 'conflict' });
	});

	it('is over for a node that comes back here', () => {
		const { bench, nodeId, grant, identity } = busy();
		bench.complete(grant, nodeId);
		bench.on('move', { ws: 'acme', nodeId, shard: 1 });
		bench.join(identity);
		expect(bench.state.nodes.get(nodeId)?.movedTo).toBeNull();
	});
});

describe('the pool as a whole', () => {
	it('spreads its slots, pauses who gets none, and is shut and opened again', () => {
		const bench = new Bench();
		const nodes = [bench.identity(), bench.identity(), bench.identity()];
		for (const node of nodes) bench.join(node);
		bench.on('initialize', { ws: 'acme', size: 4, who: WHO });
		expect(nodes.map(({ nodeId }) => bench.state.nodes.get(nodeId)?.wantedSlots)).toEqual([2, 1, 1]);
		bench.on('initialize', { ws: 'acme', size: 2, who: WHO });
		expect(nodes.map(({ nodeId }) => bench.state.nodes.get(nodeId)?.mode)).toEqual(['active', 'active', 'paused']);
		bench.on('shutdown', { ws: 'acme', now: false, who: WHO });
		expect(overviewOf(bench.state, bench.now, 'acme')).toMatchObject({ state: 'shut', size: 2, nodes: 3, slots: { total: 3, paused: 3 } });
		bench.on('initialize', { ws: 'acme', size: 16, who: WHO });
		expect(nodes.map(({ nodeId }) => bench.state.nodes.get(nodeId)?.mode)).toEqual(['active', 'active', 'active']);
		expect(bench.on('initialize', { ws: 'acme', size: 17, who: WHO })).toMatchObject({ ok: false, code: 'validation_failed' });
		expect(bench.on('initialize', { ws: 'bolt', size: 4, who: WHO })).toMatchObject({ ok: false, code: 'conflict' });
	});

	it('leaves a node alone that a person paused', () => {
		const bench = new Bench();
		const [a, b] = [bench.identity(), bench.identity()];
		for (const node of [a, b]) bench.join(node);
		bench.on('setMode', { ws: 'acme', nodeId: a.nodeId, mode: 'paused', reason: 'set by key:k' });
		bench.on('initialize', { ws: 'acme', size: 4, who: WHO });
		expect(bench.state.nodes.get(a.nodeId)?.mode).toBe('paused');
		expect(bench.state.nodes.get(b.nodeId)?.wantedSlots).toBe(4);
	});

	it('fails a slot by hand: its task is tried elsewhere', () => {
		const { bench, nodeId, grant, job } = busy();
		const other = bench.identity();
		bench.join(other);
		const answer = bench.on('failAgent', { ws: 'acme', agentId: `${nodeId}/s0`, reason: 'noise', who: WHO });
		expect(answer).toMatchObject({ ok: true, task: { jobId: job.id, failedSlotIds: [`${nodeId}/s0`] } });
		expect(bench.grant()).toMatchObject({ epoch: 2 });
		expect(bench.complete(grant, nodeId)).toBe('stale');
		expect(bench.on('failAgent', { ws: 'acme', agentId: `${nodeId}/s9`, reason: 'x', who: WHO })).toMatchObject({
			ok: false,
			code: 'not_found',
		});
	});

	it('lists tasks page by page', () => {
		const bench = new Bench();
		for (let i = 0; i < 3; i++) bench.submit({ n: 2 });
		const first = poolTasks(bench.state, 'acme', { limit: 4 });
		const second = poolTasks(bench.state, 'acme', { limit: 4, cursor: first.nextCursor ?? '' });
		expect([first.data.length, second.data.length, second.nextCursor]).toEqual([4, 2, null]);
		const ids = [...first.data, ...second.data].map(({ jobId, index }) => `${jobId}/${index}`);
		expect(new Set(ids).size).toBe(6);
	});
});

describe('history', () => {
	it('of a node counts what it did, and speeds; it is written at most once a minute', () => {
		const { bench, nodeId, grant } = busy();
		bench.generated(grant, 655);
		bench.complete(grant, nodeId);
		const node = bench.state.nodes.get(nodeId);
		expect(node && nodeHistory(node)).toMatchObject({
			work: [{ taskType: 'GENERAL', model: 'storybook', succeeded: 1, failed: 0, successRate: 1, assignmentLatencyMs: 0 }],
			slots: [{ slotId: 's0', succeeded: 1 }],
		});
		expect(node?.work['GENERAL|storybook']?.sPerMpStep).toBeCloseTo(0.655 / (4 * 0.016384), 3);
		bench.pass(310_000);
		bench.restart();
		expect(bench.state.nodes.get(nodeId)?.work['GENERAL|storybook']?.ok).toBe(1);
	});

	it('of a model adds up over nodes', () => {
		const { bench, grant, nodeId } = busy();
		const other = bench.identity();
		bench.join(other);
		bench.fail(grant, 'engine', 'it broke');
		bench.complete(bench.grant(), other.nodeId);
		expect(modelHistory(bench.state, 'acme')).toMatchObject([
			{ model: 'storybook', succeeded: 1, failed: 1, successRate: 0.5, nodes: 2, lastErrors: [{ nodeId, message: 'it broke' }] },
		]);
	});

	it('prefers the node on which such work succeeds', () => {
		const bench = new Bench();
		const [bad, good] = [bench.identity(), bench.identity()];
		bench.join(bad);
		for (let i = 0; i < 3; i++) {
			bench.submit();
			bench.fail(bench.grant(), 'engine');
			bench.pass(1500);
			bench.complete(bench.grant(), bad.nodeId);
		}
		bench.join(good);
		const job = bench.submit();
		expect(bench.state.jobs.get(job.id)?.tasks[0]?.nodeId).toBe(good.nodeId);
	});

	it('follows a preference for a node that is about as fast', () => {
		const bench = new Bench();
		const nodes = [bench.identity(), bench.identity(), bench.identity()];
		for (const node of nodes) bench.join(node);
		const { nodeId } = nodes[1] as (typeof nodes)[number];
		const job = bench.submit({ preferNode: nodeId });
		expect(bench.state.jobs.get(job.id)?.tasks[0]?.nodeId).toBe(nodeId);
	});
});

const slot = (maxBatch: number, maxBatchPx?: number) =>
	slotsOf(1).map((info) => ({ ...info, maxBatch, ...(maxBatchPx === undefined ? {} : { maxBatchPx }) }));

describe('batches', () => {
	it('carry pictures of one shape, each with its own epoch, and free the slot with the last one', () => {
		const bench = new Bench();
		const identity = bench.identity();
		bench.join(identity, { slots: slot(4) });
		const job = bench.submit({ n: 4 });
		const grant = bench.grant();
		expect(grant.batch?.map(({ index, epoch }) => [index, epoch])).toEqual([
			[1, 1],
			[2, 1],
			[3, 1],
		]);
		const next = bench.submit();
		for (let index = 0; index < 4; index++) {
			expect(bench.grants()).toEqual([]);
			bench.generated({ ...grant, index });
		}
		expect(bench.grant().job.id).toBe(next.id);
		for (let index = 0; index < 4; index++) expect(bench.complete({ ...grant, index }, identity.nodeId)).toBe('accepted');
		expect(bench.state.jobs.get(job.id)?.state).toBe('succeeded');
	});

	it('come after free slots: two slots make four pictures as two and two', () => {
		const bench = new Bench();
		for (let i = 0; i < 2; i++) bench.join(bench.identity(), { slots: slot(4) });
		bench.submit({ n: 4 });
		expect(bench.grants().map(({ batch }) => batch?.length)).toEqual([1, 1]);
	});

	it('keep to the pixels of the slot and to one shape', () => {
		const bench = new Bench();
		bench.join(bench.identity(), { slots: slot(8, 2 * 128 * 128) });
		bench.submit({ n: 3, steps: 4 });
		expect(bench.grant().batch).toHaveLength(1);
		const other = new Bench();
		other.submit({ steps: 4 });
		other.submit({ steps: 8 });
		other.join(other.identity(), { slots: slot(8) });
		expect(other.grant().batch).toBeUndefined();
	});

	it('one that fails leaves the others as they are, and is tried again alone', () => {
		const bench = new Bench();
		const identity = bench.identity();
		bench.join(identity, { slots: slot(4) });
		bench.submit({ n: 2 });
		const grant = bench.grant();
		bench.fail({ ...grant, index: 1 }, 'engine');
		bench.complete(grant, identity.nodeId);
		bench.pass(5000);
		expect(bench.grant()).toMatchObject({ index: 1, epoch: 2 });
	});

	it('are kept together by a node that comes back, and by a pool that restarts', () => {
		const bench = new Bench();
		const identity = bench.identity();
		bench.join(identity, { slots: slot(4) });
		bench.submit({ n: 2 });
		const grant = bench.grant();
		const running = [0, 1].map((index) => ({ ...refOf({ ...grant, index }), slotId: 's0' }));
		bench.restart();
		bench.join(identity, { slots: slot(4), running });
		expect(bench.frames('welcome').at(-1)).toMatchObject({
			keep: running.map(({ jobId, index, epoch }) => ({ jobId, index, epoch })),
			drop: [],
		});
		bench.restart({ nodes: [{ connId: 'c9', nodeId: identity.nodeId, bootId: 'b', at: bench.now }] });
		expect(bench.state.nodes.get(identity.nodeId)?.slots.get('s0')?.batch.size).toBe(2);
	});
});

describe('hints', () => {
	it('an idle node is told to fetch a model for which a long queue waits, once', () => {
		const bench = new Bench();
		const model = { ...modelOf('sdxl'), source: 'a/sdxl@1', bytes: 1000 };
		bench.join(bench.identity(), { models: [model] });
		bench.join(bench.identity(), { taskTypes: ['INGEST'], diskFreeBytes: 1e9 });
		for (let i = 0; i < 40; i++) bench.submit({ model: 'sdxl', steps: 50, width: 512, height: 512 });
		bench.pass(20_000);
		expect(bench.frames('prefetch')).toEqual([{ t: 'prefetch', model: 'sdxl', source: 'a/sdxl@1' }]);
	});

	it('a model that only a node has which is away is fetched once work has waited as long as that takes', () => {
		const bench = new Bench();
		const model = { ...modelOf('sdxl'), source: 'a/sdxl@1', bytes: 40 * 1024 ** 2 };
		const away = bench.identity();
		const connId = bench.join(away, { models: [model] });
		bench.join(bench.identity(), { taskTypes: ['INGEST'], diskFreeBytes: 1e9, autoPull: false });
		bench.join(bench.identity(), { taskTypes: ['INGEST'], diskFreeBytes: 1e9 });
		bench.on('closed', { connId });
		bench.submit({ model: 'sdxl', deadlineAt: bench.now + 3_600_000 });
		bench.pass(2900);
		expect(bench.frames('prefetch')).toEqual([]);
		bench.pass(1100);
		expect(bench.frames('prefetch')).toEqual([{ t: 'prefetch', model: 'sdxl', source: 'a/sdxl@1' }]);
		// it failed there: not asked again at once, but once more while the job still waits
		bench.pass(8 * 60_000);
		expect(bench.frames('prefetch')).toHaveLength(1);
		bench.pass(3 * 60_000);
		expect(bench.frames('prefetch')).toHaveLength(2);
	});

	it('no node is asked whose owner does not want it', () => {
		const bench = new Bench();
		const identity = bench.identity();
		const connId = bench.join(identity, { models: [{ ...modelOf('sdxl'), source: 'a/sdxl@1', bytes: 1000 }] });
		const stays = bench.identity();
		const its = bench.join(stays, { taskTypes: ['INGEST'], diskFreeBytes: 1e9, autoPull: false });
		bench.on('closed', { connId });
		bench.submit({ model: 'sdxl' });
		bench.pass(60_000);
		expect(bench.frames('prefetch')).toEqual([]);
		// a rebuilt pool knows it too, without a new hello
		bench.restart({ nodes: [{ connId: its, nodeId: stays.nodeId, bootId: 'b', at: bench.now }] });
		expect(bench.state.nodes.get(stays.nodeId)?.conn?.id).toBe(its);
		bench.pass(60_000);
		expect(bench.frames('prefetch')).toEqual([]);
	});

	it('what would make a job possible is said', () => {
		const bench = new Bench();
		const identity = bench.identity({ name: 'attic' });
		bench.join(identity);
		bench.on('setMode', { ws: 'acme', nodeId: identity.nodeId, mode: 'paused', reason: 'holiday' });
		const paused = bench.enqueue(bench.job());
		expect(paused).toMatchObject({ queue: { feasible: false, remedies: ['resume the node attic, which is paused (holiday)'] } });
		expect(bench.enqueue(bench.job({ model: 'other' }))).toMatchObject({ queue: { remedies: ['start a node that has the model other'] } });
		expect(bench.enqueue(bench.job({ width: 132 }))).toMatchObject({ queue: { remedies: ['choose a size in multiples of 8'] } });
	});

	it('a near deadline goes before a higher priority', () => {
		const bench = new Bench();
		bench.submit({ priority: 9 });
		const urgent = bench.submit({ priority: 0, deadlineAt: bench.now + 20_000 });
		bench.join(bench.identity());
		expect(bench.grant().job.id).toBe(urgent.id);
	});
});

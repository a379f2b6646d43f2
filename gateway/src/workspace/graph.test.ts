import { describe, expect, it } from 'vitest';
import { WORKFLOW_LIMITS, type JobSpec } from '@limner/shared';
import type { JobRow, WorkflowSubmitInput, WorkflowSubmitJob } from '../rpc.ts';
import { decideWorkflow, knownDependencies, placeJob, type GraphContext, type GraphDecision } from './graph.ts';
import type { StoredJob } from './jobs.ts';

const spec = (over: Partial<JobSpec> = {}): JobSpec => ({ n: 1, prompt: 'p', ...over }) as JobSpec;
const row = (id: string, over: Partial<JobRow> = {}): JobRow => ({
	id,
	ws: 'acme',
	state: 'queued',
	spec: spec(),
	createdAt: 1,
	images: [],
	hist: [],
	warnings: [],
	...over,
});
const member = (key: string, dependsOn: string[] = [], over: Partial<JobSpec> = {}): WorkflowSubmitJob => ({
	key,
	spec: spec(over),
	warnings: [],
	dependsOn,
});

const finder =
	(...rows: JobRow[]) =>
	(id: string): JobRow | undefined =>
		rows.find((each) => each.id === id);

let serial = 0;
const context = (over: Partial<GraphContext> = {}): GraphContext => ({
	ws: 'acme',
	shard: 0,
	openJobs: 0,
	maxQueueDepth: 100,
	idem: undefined,
	nowMs: 1_800_000_000_000,
	random: () => Uint8Array.from({ length: 10 }, () => ++serial % 256),
	find: () => undefined,
	...over,
});
const decide = (jobs: WorkflowSubmitJob[], over: Partial<GraphContext> = {}, input: Partial<WorkflowSubmitInput> = {}): GraphDecision =>
	decideWorkflow({ keyId: 'k', jobs, traceId: 't', ...input }, context(over), () => undefined);
const errorsOf = (decision: GraphDecision): unknown[] => (decision.kind === 'refused' ? (decision.refusal.errors ?? []) : []);
const insertedBy = (decision: GraphDecision): StoredJob[] => {
	if (decision.kind !== 'insert') throw new Error(JSON.stringify(decision));
	return decision.jobs;
};

/** A job behind one that stands so deep. */
const placedBehind = (depth: number) => placeJob(spec({ dependsOn: ['a'] }), finder(row('a', { spec: spec({ depth }) })));

describe('a single job that depends on others', () => {
	it('is left alone when it depends on nothing', () => {
		expect(placeJob(spec(), finder())).toEqual({ ok: true, spec: spec(), deps: [] });
	});

	it('names each dependency once, with what is known of it, and stands one below the deepest', () => {
		const image = { index: 0, key: 'k' } as JobRow['images'][number];
		const find = finder(row('a', { spec: spec({ depth: 3 }) }), row('b', { images: [image] }));
		const placed = placeJob(spec({ dependsOn: ['a', 'b', 'a'] }), find);
		expect(placed).toMatchObject({ ok: true, spec: { dependsOn: ['a', 'b'], depth: 4 } });
		expect(placed.ok && placed.deps[1]).toEqual({ id: 'b', state: 'queued', images: [{ index: 0, key: 'k' }] });
	});

	it('does not count what has ended: nothing waits in a row behind it', () => {
		const find = finder(row('a', { state: 'succeeded', spec: spec({ depth: 8 }) }));
		expect(placeJob(spec({ dependsOn: ['a'] }), find)).toMatchObject({ ok: true, spec: { depth: 2 } });
	});

	it('refuses what does not exist, by its place in the request', () => {
		const answer = placeJob(spec({ dependsOn: ['a', 'gone'] }), finder(row('a')));
		expect(answer).toMatchObject({ ok: false, code: 'validation_failed', errors: [{ pointer: '/dependsOn/1', code: 'not_found' }] });
	});

	it('refuses a chain that is longer than it may be', () => {
		expect(placedBehind(WORKFLOW_LIMITS.depthMax - 1).ok).toBe(true);
		expect(placedBehind(WORKFLOW_LIMITS.depthMax)).toMatchObject({ ok: false, errors: [{ code: 'too_deep' }] });
	});

	it('is handed over with what the workspace knows of its dependencies, and without what it forgot', () => {
		const known = knownDependencies(spec({ dependsOn: ['a', 'gone', 'a'] }), finder(row('a', { state: 'failed' })));
		expect(known).toEqual([{ id: 'a', state: 'failed', images: [] }]);
	});
});

/** Jobs one behind the other. */
const chain = (length: number): WorkflowSubmitJob[] => Array.from({ length }, (_, i) => member(`k${i}`, i === 0 ? [] : [`k${i - 1}`]));

describe('a workflow', () => {
	it('becomes jobs that name each other by id, in which the first one carries the whole', () => {
		const jobs = insertedBy(decide([member('a'), member('b', ['a']), member('c', ['a', 'b'])], {}, { name: 'three' }));
		const ids = jobs.map((job) => job.row.id);
		expect(new Set(ids).size).toBe(3);
		expect(jobs.map((job) => job.row.state)).toEqual(['queued', 'waiting', 'waiting']);
		expect(jobs.map((job) => job.row.spec.dependsOn)).toEqual([undefined, [ids[0]], [ids[0], ids[1]]]);
		expect(jobs.map((job) => job.row.spec.depth)).toEqual([undefined, 2, 3]);
		expect(jobs[0]?.row.spec.workflow).toMatchObject({ key: 'a', name: 'three', members: [{ key: 'a' }, { key: 'b' }, { key: 'c' }] });
		expect(jobs[1]?.row.spec.workflow).not.toHaveProperty('members');
		expect(new Set(jobs.map((job) => job.row.spec.workflow?.id)).size).toBe(1);
	});

	it('waits for the job whose picture it starts from, also when it does not say so', () => {
		const [first, second] = insertedBy(decide([member('a', [], { n: 2 }), member('b', [], { initImage: { job: 'a', index: 1 } })]));
		expect(second?.row.spec).toMatchObject({ dependsOn: [first?.row.id], initImage: { job: first?.row.id, index: 1 } });
	});

	it('may be written in any order, and builds on jobs that exist', () => {
		const find = finder(row('job_old', { spec: spec({ depth: 2 }) }));
		const jobs = insertedBy(decide([member('b', ['a']), member('a', ['job_old'])], { find }));
		expect(jobs.map((job) => job.row.spec.depth)).toEqual([4, 3]);
	});

	it.each([
		['itself', [member('a', ['a'])], ['/jobs/0/dependsOn']],
		['each other', [member('a', ['b']), member('b', ['a'])], ['/jobs/0/dependsOn', '/jobs/1/dependsOn']],
		[
			'a cycle before it',
			[member('a', ['b']), member('b', ['a']), member('c', ['b'])],
			['/jobs/0/dependsOn', '/jobs/1/dependsOn', '/jobs/2/dependsOn'],
		],
		[
			'a picture of what waits for it',
			[member('a', ['b']), member('b', [], { maskImage: { job: 'a', index: 0 } })],
			['/jobs/0/dependsOn', '/jobs/1/dependsOn'],
		],
	])('is refused when a job waits for %s', (_, jobs, pointers) => {
		expect(errorsOf(decide(jobs))).toEqual(pointers.map((pointer) => expect.objectContaining({ pointer, code: 'cycle' })));
	});

	it.each([
		['a key twice', [member('a'), member('a')], { pointer: '/jobs/1/key', code: 'not_unique' }],
		['a name that nothing has', [member('a', ['x'])], { pointer: '/jobs/0/dependsOn/0', code: 'not_found' }],
		[
			'a picture past the last',
			[member('a', [], { n: 2 }), member('b', [], { initImage: { job: 'a', index: 2 } })],
			{ pointer: '/jobs/1/initImage/index', code: 'too_big' },
		],
		[
			'a picture of a task that makes none',
			[member('a', [], { taskType: 'DISCOVERY' }), member('b', [], { maskImage: { job: 'a', index: 0 } })],
			{ pointer: '/jobs/1/maskImage/job', code: 'not_allowed' },
		],
	])('is refused for %s', (_, jobs, error) => {
		expect(errorsOf(decide(jobs))[0]).toMatchObject(error);
	});

	it('may start from a canary picture', () => {
		expect(decide([member('a', [], { taskType: 'HEARTBEAT' }), member('b', [], { initImage: { job: 'a', index: 0 } })]).kind).toBe(
			'insert',
		);
	});

	it('may be as deep as the limit, and not one deeper', () => {
		expect(decide(chain(WORKFLOW_LIMITS.depthMax)).kind).toBe('insert');
		expect(errorsOf(decide(chain(WORKFLOW_LIMITS.depthMax + 1)))).toEqual([expect.objectContaining({ code: 'too_deep' })]);
	});

	it('fits into what the workspace may have open, or is refused as a whole', () => {
		const two = [member('a'), member('b')];
		expect(decide(two, { openJobs: 98 }).kind).toBe('insert');
		expect(decide(two, { openJobs: 99 })).toMatchObject({ kind: 'refused', refusal: { code: 'queue_full' } });
	});

	it('answers a repeat with the jobs of the first time, and refuses the key for another body', () => {
		const members = [
			{ key: 'a', job: 'job_a' },
			{ key: 'b', job: 'job_gone' },
		];
		const first: StoredJob = { row: row('job_a', { spec: spec({ workflow: { id: 'w', key: 'a', members } }) }), keyId: 'k' };
		const idem = { bodyHash: 'h', job: first };
		const ask = (bodyHash: string) =>
			decideWorkflow(
				{ keyId: 'k', traceId: 't', jobs: [member('a')], idempotency: { key: 'i', bodyHash } },
				context({ idem, openJobs: 100 }),
				(id) => (id === 'job_a' ? first : undefined),
			);
		expect(ask('h')).toEqual({ kind: 'replay', jobs: [first] });
		expect(ask('other')).toMatchObject({ kind: 'refused', refusal: { code: 'idempotency_mismatch' } });
	});
});

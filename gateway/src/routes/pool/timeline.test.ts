import { describe, expect, it } from 'vitest';
import type { IsolationRecord } from '../../rpc.ts';
import { spansOf } from './timeline.ts';

const record = (over: Partial<IsolationRecord>): IsolationRecord => ({
	nodeId: 'node_a',
	bootId: 'boot',
	ws: 'main',
	jobId: 'job_a',
	index: 0,
	epoch: 1,
	slotId: 's0',
	pid: 7,
	folder: 'one',
	startedMs: 1000,
	endedMs: 2000,
	leftovers: 0,
	...over,
});

describe('the slots’ timeline', () => {
	it('begins with the oldest, and leaves out what ended before the window', () => {
		const spans = spansOf(
			[record({ startedMs: 5000, endedMs: 6000 }), record({ endedMs: 3000, jobId: 'job_b' }), record({})],
			'main',
			2500,
		);
		expect(spans.map(({ jobId, startedAt, endedAt }) => [jobId, startedAt, endedAt])).toEqual([
			['job_b', '1970-01-01T00:00:01.000Z', '1970-01-01T00:00:03.000Z'],
			['job_a', '1970-01-01T00:00:05.000Z', '1970-01-01T00:00:06.000Z'],
		]);
		expect(spans[0]?.agentId).toBe('node_a.s0');
	});

	it('keeps other workspaces’ jobs to themselves, and makes no span that ends before it starts', () => {
		expect(spansOf([record({ ws: 'other' })], 'main', 0)).toEqual([]);
		expect(spansOf([record({ startedMs: 9000, endedMs: 8000 })], 'main', 0)[0]?.endedAt).toBe('1970-01-01T00:00:09.000Z');
	});
});

import { describe, expect, it } from 'vitest';
import type { IsolationRecord } from '../../rpc.ts';
import { isolationReport } from './isolation.ts';

const record = (over: Partial<IsolationRecord> = {}): IsolationRecord => ({
	nodeId: 'n1',
	bootId: 'b1',
	ws: 'w',
	jobId: 'job_a',
	index: 0,
	epoch: 1,
	slotId: 's0',
	pid: 10,
	folder: 'a-0-1',
	startedMs: 1000,
	endedMs: 2000,
	leftovers: 0,
	...over,
});
const later = (over: Partial<IsolationRecord> = {}) => record({ jobId: 'job_b', folder: 'b-0-1', startedMs: 2000, endedMs: 3000, ...over });
const kinds = (...records: IsolationRecord[]) => isolationReport(records).violations.map(({ kind }) => kind);

describe('isolationReport', () => {
	it('is green for tasks one after the other, and beside each other in slots of their own', () => {
		expect(kinds(record(), later())).toEqual([]);
		expect(kinds(record(), later({ slotId: 's1', pid: 11, startedMs: 1500 }))).toEqual([]);
		expect(isolationReport([record(), later()])).toMatchObject({ ok: true, tasks: 2, nodes: 1 });
	});

	it.each<[string, Partial<IsolationRecord>, string[]]>([
		['a slot', { startedMs: 1999, pid: 11 }, ['slot']],
		['a process', { startedMs: 1999, slotId: 's1' }, ['process']],
		['a folder', { startedMs: 1999, slotId: 's1', pid: 11, folder: 'a-0-1' }, ['folder']],
		['everything', { startedMs: 1000, folder: 'a-0-1' }, ['slot', 'folder', 'process']],
	])('turns red for a planted overlap: %s', (_name, over, expected) => {
		const report = isolationReport([record(), later(over)]);
		expect(report.ok).toBe(false);
		expect(report.violations.map(({ kind }) => kind)).toEqual(expected);
		expect(report.violations[0]?.tasks).toEqual(['job_a.0#1', 'job_b.0#1']);
	});

	it('turns red for a file that was left', () => {
		expect(isolationReport([record({ leftovers: 2 })])).toMatchObject({
			ok: false,
			violations: [{ kind: 'leftover', detail: expect.stringContaining('2 files') }],
		});
	});

	it('lets a batch share slot and process, never a folder, and never with a task outside it', () => {
		const a = record({ batch: 'x' });
		const b = record({ batch: 'x', index: 1, folder: 'a-1-1' });
		expect(isolationReport([a, b])).toMatchObject({ ok: true, batched: 2 });
		expect(kinds(a, { ...b, folder: a.folder })).toEqual(['folder']);
		expect(kinds(a, { ...b, bootId: 'b2' })).toEqual(['slot', 'process']);
		expect(kinds(a, later({ startedMs: 1500 }))).toEqual(['slot', 'process']);
		expect(kinds(a, { ...b, batch: 'y' })).toEqual(['slot', 'process']);
	});

	it('does not compare clocks of different nodes', () => {
		expect(kinds(record(), record({ nodeId: 'n2', jobId: 'job_b' }))).toEqual([]);
	});
});

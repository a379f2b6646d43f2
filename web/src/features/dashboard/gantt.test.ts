import type { Dashboard, TimelineSpan } from '@limner/sdk';
import { describe, expect, it } from 'vitest';
import { ganttRows, hueOf, placeOf } from './gantt.ts';

type Agent = Dashboard['agentStatus'][number];
const NOW = 1_000_000;
const WINDOW = 100_000;
const iso = (ms: number): string => new Date(ms).toISOString();
const agent = (slot: string, jobId?: string): Agent => ({
	agentId: `n/${slot}`,
	nodeId: 'n',
	name: 'node',
	link: 'online',
	status: jobId === undefined ? 'IDLE' : 'RUNNING',
	...(jobId === undefined ? {} : { jobId }),
});
const span = (slot: string, from: number, to: number): TimelineSpan => ({
	agentId: `n.${slot}`,
	nodeId: 'n',
	slotId: slot,
	jobId: 'job_a',
	index: 0,
	epoch: 1,
	startedAt: iso(from),
	endedAt: iso(to),
});

describe('the timeline of the slots', () => {
	it('has a row for each slot, idle ones too, with what it did and its share', () => {
		const rows = ganttRows([agent('s10'), agent('s2')], [span('s2', NOW - 50_000, NOW - 25_000)], new Map(), NOW, WINDOW);
		expect(rows.map(({ name, tasks, busy }) => [name, tasks, busy])).toEqual([
			['node s2', 1, 0.25],
			['node s10', 0, 0],
		]);
	});

	it('lets what runs begin when it was first seen, never before the slot was free', () => {
		const since = new Map([['n.s0 job_b', NOW - 30_000]]);
		const [row] = ganttRows([agent('s0', 'job_b')], [span('s0', NOW - 60_000, NOW - 20_000)], since, NOW, WINDOW);
		expect(row?.bars[1]).toEqual({ jobId: 'job_b', from: NOW - 20_000, to: NOW, running: true });
		const [fresh] = ganttRows([agent('s0', 'job_b')], [], since, NOW, WINDOW);
		expect(fresh?.bars[0]?.from).toBe(NOW - 30_000);
	});

	it('cuts bars at the window and leaves out what ended before it', () => {
		const [row] = ganttRows([agent('s0')], [span('s0', 0, 10), span('s0', NOW - 150_000, NOW - 90_000)], new Map(), NOW, WINDOW);
		expect(row?.bars).toHaveLength(1);
		expect(placeOf(row?.bars[0] ?? { jobId: '', from: 0, to: 0, running: false }, NOW, WINDOW)).toEqual({ left: 0, width: 10 });
	});

	it('keeps slots of nodes that are gone, and gives a job one hue', () => {
		expect(ganttRows([], [span('s0', NOW - 10, NOW)], new Map(), NOW, WINDOW)).toHaveLength(1);
		expect(hueOf('job_a')).toBe(hueOf('job_a'));
		expect(hueOf('job_a')).toBeLessThan(360);
	});
});

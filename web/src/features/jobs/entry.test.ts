import type { Job } from '@limner/sdk';
import { describe, expect, it } from 'vitest';
import { takeIn, trimmed, withJob, type Entry } from './entry.ts';

const job = (id: string, state: Job['state'] = 'queued', position = 1): Job =>
	({
		id,
		state,
		createdAt: `2026-11-21T12:00:0${id}.000Z`,
		request: { prompt: id, n: 1, width: 64, height: 64 },
		images: [],
		queue: { position, feasible: true },
	}) as unknown as Job;
const entries = (...jobs: Job[]): readonly Entry[] => takeIn([], jobs);
const keys = (list: readonly Entry[]): string => list.map(({ key }) => key).join('');

describe('the list of watched jobs', () => {
	it('takes in what is new, the newest in front, and stays the same array when nothing is', () => {
		const had = entries(job('1'), job('3'));
		expect(keys(had)).toBe('31');
		expect(takeIn(had, [job('1'), job('3')])).toBe(had);
		expect(keys(takeIn(had, [job('2')]))).toBe('321');
		expect(takeIn(had, [job('1', 'running')]).find(({ key }) => key === '1')?.status).toBe('running');
	});

	it('forgets the oldest that have ended, and nothing that is open', () => {
		const had = entries(job('1'), job('2', 'succeeded'), job('3', 'succeeded'), job('4', 'succeeded'));
		expect(keys(trimmed(had, 2))).toBe('431');
		expect(trimmed(had, 9)).toBe(had);
	});

	it('keeps pictures that the stream brought when an older list comes', () => {
		const had = { ...withJob(undefined, job('1', 'running')), images: [{ id: 'i', index: 0 }] } as unknown as Entry;
		expect(takeIn([had], [job('1', 'running', 2)])[0]?.images).toHaveLength(1);
	});
});

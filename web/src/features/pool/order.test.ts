import type { Job } from '@limner/sdk';
import { describe, expect, it } from 'vitest';
import { inOrder, withPriority } from './order.ts';

const job = (id: string, minute: number, over: { state?: Job['state']; priority?: number; class?: 'batch'; position?: number } = {}): Job =>
	({
		id,
		state: over.state ?? 'queued',
		createdAt: new Date(minute * 60_000).toISOString(),
		request: { priority: over.priority ?? 5, class: over.class ?? 'interactive' },
		...(over.position === undefined ? {} : { queue: { feasible: true, position: over.position } }),
	}) as Job;
const ids = (jobs: Job[]): string => jobs.map(({ id }) => id).join('');

describe('the queue', () => {
	it('shows what runs, what is next, and what waits for others', () => {
		expect(
			ids(
				inOrder([
					job('c', 0, { state: 'waiting' }),
					job('b', 9, { position: 2 }),
					job('a', 5, { position: 1 }),
					job('r', 20, { state: 'running' }),
				]),
			),
		).toBe('rabc');
	});

	it('orders by the scheduler’s score where no place is known', () => {
		expect(ids(inOrder([job('a', 0), job('b', 1, { priority: 7 }), job('c', 0, { class: 'batch', priority: 9 })]))).toBe('bac');
	});

	it('moves a job to its new place before the gateway has answered', () => {
		const jobs = [job('a', 0, { position: 1 }), job('b', 1, { position: 2 }), job('c', 2, { position: 3 })];
		expect(ids(inOrder(withPriority(jobs, 'c', 9)))).toBe('cab');
		expect(ids(inOrder(withPriority(jobs, 'a', 0)))).toBe('bca');
	});
});

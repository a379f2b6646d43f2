import { expect, it } from 'vitest';
import { initialProgress, reduceProgress } from './index.ts';

const run = (...events: [string, Record<string, unknown>][]) =>
	events.reduce((state, [event, data]) => reduceProgress(state, { event, data }), initialProgress(2));

it('counts all pictures of a job', () => {
	const half = run(['progress', { index: 0, phase: 'denoising', step: 10, steps: 10 }], ['image', { index: 0 }]);
	expect(half).toMatchObject({ fraction: 0.5, done: 1, pictures: [1, 0] });
});

it('never goes down when a picture is started again elsewhere', () => {
	const before = run(['progress', { index: 0, phase: 'denoising', step: 8, steps: 10 }]);
	const after = run(
		['progress', { index: 0, phase: 'denoising', step: 8, steps: 10 }],
		['requeued', { index: 0 }],
		['progress', { index: 0, phase: 'denoising', step: 1, steps: 10 }],
	);
	expect(after.fraction).toBe(before.fraction);
	expect(after).toMatchObject({ requeues: 1, step: 1, phase: 'denoising' });
});

it('tells place, wait and reason, and forgets them when work begins', () => {
	const waiting = run(['position', { position: 3, etaMs: { low: 5, high: 900 } }], ['waiting', { reason: 'no node has the model' }]);
	expect(waiting).toMatchObject({ phase: 'waiting', reason: 'no node has the model' });
	const queued = run(['position', { position: 3, etaMs: { low: 5, high: 900 } }]);
	expect(queued).toMatchObject({ phase: 'queued', position: 3, etaMs: 900 });
	const loading = reduceProgress(waiting, { event: 'loading', data: { index: 0, phase: 'loading' } });
	expect(loading).toMatchObject({ phase: 'loading', fraction: 0 });
	expect(loading).not.toHaveProperty('reason');
	expect(loading).not.toHaveProperty('position');
});

it('leaves the fraction of a failed job where it was', () => {
	const failed = run(['progress', { index: 0, phase: 'denoising', step: 5, steps: 10 }], ['failed', {}]);
	expect(failed.phase).toBe('failed');
	expect(failed.fraction).toBeGreaterThan(0.2);
	expect(failed.fraction).toBeLessThan(0.3);
});

it('passes over events that it does not know', () => {
	const state = initialProgress(1);
	expect(reduceProgress(state, { event: 'new-one', data: {} })).toBe(state);
});

import type { Node } from '@limner/sdk';
import { TIMING } from '@limner/shared/limits';
import { describe, expect, it } from 'vitest';
import { actionsOf, nodeSentence, toneOf } from './words.ts';

const NOW = Date.parse('2026-11-21T12:00:00Z');
const task = { jobId: 'job_1', index: 0, epoch: 1, phase: 'denoising', step: 2, steps: 8 };
const node = (over: Partial<Node>, busy = 0): Node =>
	({
		link: 'online',
		mode: 'active',
		lastSeenAt: new Date(NOW).toISOString(),
		slots: Array.from({ length: Math.max(1, busy) }, (_, i) => (i < busy ? { task } : {})),
		...over,
	}) as Node;

const of = (over: Partial<Node>, busy = 0): string => nodeSentence(node(over, busy), NOW);

describe('what a machine does, in words', () => {
	it('says what moves when, for a machine that is silent', () => {
		const silent = node({ link: 'suspect', lastSeenAt: new Date(NOW - TIMING.offlineMs + 2_600).toISOString() }, 2);
		expect(nodeSentence(silent, NOW)).toContain('2 tasks will move to other nodes in 3 s');
		expect(nodeSentence(silent, NOW + 60_000)).toContain('in 1 s');
		expect(nodeSentence({ ...silent, slots: [] }, NOW)).toContain('It counts as offline in 3 s');
	});

	it('says what a machine that is to stop still does', () => {
		expect(nodeSentence(node({ mode: 'draining' }, 1), NOW)).toBe('It finishes 1 task first. It takes nothing new until it is resumed.');
		expect(nodeSentence(node({ mode: 'paused', modeReason: 'It was paused by ada.' }), NOW)).toMatch(/^It was paused by ada\. It takes/);
	});

	it('tells working, idle, away, never there and removed apart', () => {
		expect(of({}, 2)).toBe('Works on 2 pictures.');
		expect(of({ idleReason: 'Nothing waits.' })).toBe('Nothing waits.');
		expect(of({ link: 'offline' })).toContain('Its work goes to other machines');
		expect(of({ link: 'pending', lastSeenAt: null })).toBe('It has never been here.');
		expect(of({ mode: 'terminated' })).toContain('Removed');
	});

	it('offers what changes something', () => {
		expect(actionsOf(node({}))).toEqual(['pause', 'drain', 'terminate']);
		expect(actionsOf(node({ mode: 'draining' }))).toEqual(['resume', 'pause', 'terminate']);
		expect(actionsOf(node({ mode: 'paused' }))).toEqual(['resume', 'terminate']);
		expect(actionsOf(node({ mode: 'paused', modeReason: 'It waits for the approval of an operator.' }))).toEqual(['approve', 'terminate']);
		expect(actionsOf(node({ mode: 'terminated' }))).toEqual([]);
		expect([toneOf(node({})), toneOf(node({ mode: 'paused' })), toneOf(node({ link: 'offline' }))]).toEqual(['good', 'warn', 'bad']);
	});
});

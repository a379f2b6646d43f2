import { TIMING, type BridgeFrame, type HistEntry } from '@limner/shared';
import { describe, expect, it } from 'vitest';
import { admit, onClosed, onFrame, parseFrame, replayRow, startAfter, type FollowState } from './bridge-core.ts';

const durable = (id: number, event: BridgeFrame['event'] = 'assigned'): BridgeFrame => ({ event, id, data: {} });

describe('onFrame', () => {
	it('passes each durable event once, however replay and live overlap', () => {
		let state: FollowState = { lastRev: 1, tries: 3 };
		const seen: number[] = [];
		for (const id of [1, 2, 3, 2, 3, 4, 1, 5]) {
			const step = onFrame(state, durable(id));
			state = step.state;
			if (step.verdict !== 'duplicate') seen.push(id);
		}
		expect(seen).toEqual([2, 3, 4, 5]);
		expect(state).toEqual({ lastRev: 5, tries: 0 });
	});
	it('always passes volatile frames', () => {
		expect(onFrame({ lastRev: 9, tries: 1 }, { event: 'progress', data: {} })).toEqual({
			state: { lastRev: 9, tries: 0 },
			verdict: 'pass',
		});
	});
	it.each(['succeeded', 'failed', 'canceled', 'expired'] as const)('%s ends the job', (event) => {
		expect(onFrame({ lastRev: 0, tries: 0 }, durable(1, event)).verdict).toBe('terminal');
	});
});

describe('onClosed', () => {
	it('tries again a bounded number of times, with pauses that grow', () => {
		let state: FollowState = { lastRev: 4, tries: 0 };
		const pauses: number[] = [];
		for (;;) {
			const next = onClosed(state, 1);
			state = next.state;
			if (next.pauseMs === undefined) break;
			pauses.push(next.pauseMs);
		}
		expect(pauses).toHaveLength(TIMING.sseBridgeTries);
		expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
		expect(state.lastRev).toBe(4);
	});
	it('spreads', () => {
		expect(onClosed({ lastRev: 0, tries: 0 }, 0).pauseMs).toBe(50);
		expect(onClosed({ lastRev: 0, tries: 0 }, 1).pauseMs).toBe(100);
	});
});

const entry = (rev: number, type: HistEntry['type'], index?: number): HistEntry => ({
	rev,
	at: rev,
	type,
	who: 'pool',
	...(index === undefined ? {} : { index }),
});

describe('replayRow', () => {
	const row = {
		hist: [entry(3, 'image', 0), entry(1, 'queued'), entry(2, 'assigned', 0), entry(4, 'succeeded')],
		images: [{ index: 0, key: 'k' }] as never,
		warnings: ['w'],
		usage: { images: 1, megapixelSteps: 2 },
	};
	it('is in order, after the given revision, with pictures and outcome', () => {
		expect(replayRow(row, 2)).toEqual([
			{ event: 'image', id: 3, data: { ...entry(3, 'image', 0), image: { index: 0, key: 'k' } } },
			{ event: 'succeeded', id: 4, data: { ...entry(4, 'succeeded'), images: row.images, warnings: ['w'], usage: row.usage } },
		]);
		expect(replayRow(row, 0).map((frame) => frame.id)).toEqual([1, 2, 3, 4]);
		expect(replayRow(row, 4)).toEqual([]);
	});
});

describe('admit', () => {
	const high = 1000;
	it('drops only what the next frame replaces, and only above the mark', () => {
		expect(admit(false, 1, high)).toBe('send');
		expect(admit(false, 0, high)).toBe('drop');
		expect(admit(true, 0, high)).toBe('send');
		expect(admit(true, -1000, high)).toBe('send');
	});
	it('ends a stream that nobody reads', () => {
		expect(admit(true, high - TIMING.ssePendingBytes, high)).toBe('send');
		expect(admit(true, high - TIMING.ssePendingBytes - 1, high)).toBe('end');
		expect(admit(true, null, high)).toBe('end');
	});
});

describe('startAfter', () => {
	it('goes on where a returning browser was, and takes nonsense for the beginning', () => {
		expect(startAfter('7', 3)).toBe(7);
		expect(startAfter(undefined, 3)).toBe(3);
		expect(startAfter('x', 3)).toBe(3);
		expect(startAfter('7', undefined)).toBe(7);
		for (const bad of ['', '-1', '1.5', 'NaN', '99999999999']) expect(startAfter(bad, undefined)).toBe(0);
		expect(startAfter(undefined, undefined)).toBe(0);
	});
});

describe('parseFrame', () => {
	it('reads frames and refuses the rest', () => {
		expect(parseFrame('{"event":"queued","id":1,"data":{"a":1}}')).toEqual({ event: 'queued', id: 1, data: { a: 1 } });
		expect(parseFrame('{"event":"progress"}')).toEqual({ event: 'progress', data: {} });
		for (const bad of ['pong', '[]', 'null', '{"id":1}', '{"event":3}']) expect(parseFrame(bad)).toBeUndefined();
	});
});

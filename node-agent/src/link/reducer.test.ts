import { TIMING, type GatewayFrame } from '@limner/shared';
import { describe, expect, it } from 'vitest';
import { initialLink, linkWakeAt, stepLink, type LinkEffect, type LinkEvent, type LinkState } from './reducer.ts';

const welcome = (extra: Partial<Extract<GatewayFrame, { t: 'welcome' }>> = {}): GatewayFrame => ({
	t: 'welcome',
	nodeId: 'n',
	connId: 'c',
	minVersion: 1,
	mode: 'active',
	config: { pingMs: 4000, progressMs: 2000, watchProgressMs: 250, telemetryMs: 30_000 },
	keep: [],
	drop: [],
	...extra,
});

/** Plays events at times and answers the state and every effect. */
const play = (events: [number, LinkEvent][], random = 0.5, from = initialLink()): { state: LinkState; effects: LinkEffect[] } => {
	let state = from;
	const effects: LinkEffect[] = [];
	for (const [now, event] of events) {
		const step = stepLink(state, event, now, random);
		({ state } = step);
		effects.push(...step.effects);
	}
	return { state, effects };
};

const online: [number, LinkEvent][] = [
	[0, { t: 'start' }],
	[10, { t: 'opened', socketId: 1 }],
	[20, { t: 'frame', socketId: 1, frame: { t: 'challenge', nonce: 'x', connId: 'c' } }],
	[30, { t: 'frame', socketId: 1, frame: welcome() }],
];
const close = (code: number, httpStatus?: number): LinkEvent => ({
	t: 'closed',
	socketId: 1,
	code,
	reason: '',
	...(httpStatus === undefined ? {} : { httpStatus }),
});

describe('link reducer', () => {
	it('connects, greets the challenge at once and is online after the welcome', () => {
		const { state, effects } = play(online);
		expect(effects.map((effect) => effect.t)).toEqual(['connect', 'hello', 'deliver']);
		expect(effects[1]).toEqual({ t: 'hello', socketId: 1, nonce: 'x', connId: 'c' });
		expect(state).toMatchObject({ phase: 'online', attempt: 0, problem: '' });
	});

	it('pings every 4 s ± 10 %', () => {
		for (const [random, gap] of [
			[0, 3600],
			[0.5, 4000],
			[1, 4400],
		] as const) {
			const { state } = play(online, random);
			expect(linkWakeAt(state)).toBe(10 + gap);
			const early = stepLink(state, { t: 'tick' }, 10 + gap - 1, random);
			expect(early.effects).toEqual([]);
			const due = stepLink(state, { t: 'tick' }, 10 + gap, random);
			expect(due.effects).toEqual([{ t: 'ping', socketId: 1 }]);
			expect(due.state.nextPingAt).toBe(10 + 2 * gap);
		}
	});

	it('gives a silent socket up after three intervals, and a pong puts that off', () => {
		const { state } = play(online);
		expect(stepLink(state, { t: 'tick' }, 30 + 11_999, 0.5).effects.map((effect) => effect.t)).toEqual(['ping']);
		const dead = stepLink(state, { t: 'tick' }, 30 + 12_000, 0.5);
		expect(dead.effects.map((effect) => effect.t)).toEqual(['drop', 'offline']);
		expect(dead.state).toMatchObject({ phase: 'backoff', problem: 'the gateway fell silent' });
		const heard = stepLink(state, { t: 'heard', socketId: 1 }, 8000, 0.5);
		expect(stepLink(heard.state, { t: 'tick' }, 19_999, 0.5).state.phase).toBe('online');
	});

	it('does not blame a new socket for the silence of the last one', () => {
		const { state } = play([...online, [12_030, { t: 'tick' }], [20_000, { t: 'tick' }]]);
		expect(state).toMatchObject({ phase: 'connecting', socketId: 2 });
		expect(stepLink(state, { t: 'tick' }, 20_001, 0.5)).toEqual({ state, effects: [] });
	});

	it('ignores everything from an older socket', () => {
		const { state } = play([...online, [100, close(1006)], [5000, { t: 'tick' }]]);
		expect(state).toMatchObject({ phase: 'connecting', socketId: 2 });
		for (const event of [
			{ t: 'frame', socketId: 1, frame: welcome() },
			{ t: 'closed', socketId: 1, code: 4409, reason: '' },
			{ t: 'opened', socketId: 1 },
			{ t: 'heard', socketId: 1 },
		] as LinkEvent[]) {
			expect(stepLink(state, event, 6000, 0.5)).toEqual({ state, effects: [] });
		}
	});

	it('comes back with full jitter: below 1 s first, never more than 30 s', () => {
		let { state } = play([[0, { t: 'start' }]]);
		const waits: number[] = [];
		for (let i = 0; i < 8; i++) {
			({ state } = stepLink(state, { t: 'closed', socketId: state.socketId, code: 1006, reason: '' }, 0, 0.999));
			waits.push(state.retryAt);
			({ state } = stepLink(state, { t: 'tick' }, state.retryAt, 0.999));
		}
		expect(waits[0]).toBeLessThan(1000);
		expect(waits.slice(0, 5)).toEqual([999, 1998, 3996, 7992, 15_984]);
		expect(Math.max(...waits)).toBeLessThanOrEqual(TIMING.reconnectCapMs);
	});

	it('is back within 5 s of a gateway restart, however many tries failed', () => {
		const { state } = play([...online.map(([at, event]): [number, LinkEvent] => [at, event]), [100, close(4503)]], 0.999);
		expect(state.retryAt - 100).toBeLessThanOrEqual(5000);
		const tired = stepLink({ ...play(online).state, attempt: 20 }, close(4503), 0, 0.999);
		expect(tired.state.retryAt).toBeLessThanOrEqual(5000);
	});

	it.each([
		[4403, /does not take this node/],
		[4409, /same state folder.*--state-dir/],
		[4426, /newer limner/],
	])('stops for good after close code %i', (code, sentence) => {
		const { state, effects } = play([...online, [100, close(code)]]);
		expect(state.phase).toBe('stopped');
		expect(effects.at(-1)).toMatchObject({ t: 'halt', sentence: expect.stringMatching(sentence) as string });
		expect(stepLink(state, { t: 'tick' }, 1e9, 0.5).effects).toEqual([]);
		expect(linkWakeAt(state)).toBeUndefined();
	});

	it('stops when it is terminated, by frame and by welcome', () => {
		expect(play([...online, [50, { t: 'frame', socketId: 1, frame: { t: 'mode', mode: 'terminated', reason: 'x' } }]]).state.phase).toBe(
			'stopped',
		);
		const greeted = online.slice(0, 3);
		expect(play([...greeted, [30, { t: 'frame', socketId: 1, frame: welcome({ mode: 'terminated' }) }]]).state.phase).toBe('stopped');
		expect(play([...greeted, [30, { t: 'frame', socketId: 1, frame: welcome({ minVersion: 2 }) }]]).state.phase).toBe('stopped');
	});

	it.each([close(4401), close(1006, 401), close(1006, 403)])('renews a refused certificate once ($code, $httpStatus)', (event) => {
		const first = play([...online, [100, event]]);
		expect(first.effects.at(-1)).toEqual({ t: 'renew' });
		const again = play([[200, { t: 'renewed', ok: true }]], 0.5, first.state);
		expect(again.state).toMatchObject({ phase: 'connecting', socketId: 2 });
		const refused = stepLink(again.state, { t: 'closed', socketId: 2, code: 4401, reason: '' }, 300, 0.5);
		expect(refused.effects.at(-1)).toMatchObject({ t: 'halt', sentence: expect.stringContaining('--token') as string });
	});

	it('waits when the renewal finds no gateway, and stops when it needs a token', () => {
		const refused = play([...online, [100, close(4401)]]).state;
		expect(stepLink(refused, { t: 'renewed', ok: false, final: false, sentence: 's' }, 200, 0.5).state.phase).toBe('backoff');
		expect(stepLink(refused, { t: 'renewed', ok: false, final: true, sentence: 's' }, 200, 0.5).state.phase).toBe('stopped');
	});

	it('gives up a handshake that does not get on', () => {
		const opened = play(online.slice(0, 2)).state;
		expect(stepLink(opened, { t: 'tick' }, 10_009, 0.5).state.phase).toBe('connecting');
		expect(stepLink(opened, { t: 'tick' }, 10_010, 0.5).state).toMatchObject({ phase: 'backoff' });
	});

	it('does not deliver frames before the welcome', () => {
		const { state } = play(online.slice(0, 3));
		expect(stepLink(state, { t: 'frame', socketId: 1, frame: { t: 'status', text: 'x' } }, 25, 0.5).effects).toEqual([]);
	});

	it('never leaves a live or waiting link without a time to wake', () => {
		let state = initialLink();
		let seed = 7;
		const random = (): number => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
		const kinds: LinkEvent['t'][] = ['start', 'opened', 'frame', 'heard', 'closed', 'tick', 'reconnect'];
		for (let i = 0, now = 0; i < 20_000; i++) {
			now += Math.floor(random() * 3000);
			const socketId = state.socketId - (random() < 0.2 ? 1 : 0);
			const kind = kinds[Math.floor(random() * kinds.length)]!;
			const frame: GatewayFrame = random() < 0.5 ? { t: 'challenge', nonce: 'a', connId: 'b' } : welcome();
			const event = { t: kind, socketId, frame, code: 1006, reason: '' } as unknown as LinkEvent;
			const before = state;
			({ state } = stepLink(state, event, now, random()));
			expect(state.socketId).toBeGreaterThanOrEqual(before.socketId);
			expect(state.phase === 'idle' || typeof linkWakeAt(state) === 'number').toBe(true);
		}
	});
});

const once = (state: LinkState, at: number, lastsMs: number): LinkState => {
	const id = state.socketId;
	return play(
		[
			[at, { t: 'opened', socketId: id }],
			[at, { t: 'frame', socketId: id, frame: { t: 'challenge', nonce: 'x', connId: 'c' } }],
			[at, { t: 'frame', socketId: id, frame: welcome() }],
			[at + lastsMs, { t: 'closed', socketId: id, code: 1011, reason: '' }],
		],
		1,
		state,
	).state;
};

describe('a gateway that welcomes and closes', () => {
	it('is asked more and more rarely, and soon again after a connection that lasted', () => {
		let state = play([[0, { t: 'start' }]]).state;
		let now = 0;
		const waits: number[] = [];
		for (const lasts of [5, 5, 5, 5, 5, 5, 60_000]) {
			state = once(state, now, lasts);
			waits.push(state.retryAt - now - lasts);
			now = state.retryAt;
			({ state } = stepLink(state, { t: 'tick' }, now, 1));
		}
		expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 1000]);
	});
});

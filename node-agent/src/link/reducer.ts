/**
 * Decides how the node keeps its one socket to the gateway: when to connect, greet, ping, give a socket up, wait, and
 * stop for good. Pure: time and randomness are arguments.
 * @module
 */
import { CLOSE, PROTOCOL_VERSION, TIMING, type GatewayFrame } from '@limner/shared';
import { fullJitter } from '../lib/backoff.ts';

export type LinkPhase = 'idle' | 'connecting' | 'greeting' | 'online' | 'backoff' | 'renewing' | 'stopped';

export interface LinkState {
	phase: LinkPhase;
	/** Number of the newest socket; everything from an older one is ignored. */
	socketId: number;
	/** Tries since the last connection that lasted. */
	attempt: number;
	onlineAt: number;
	/** A fresh certificate was fetched since the last welcome: a second refusal is final. */
	renewed: boolean;
	lastHeardAt: number;
	nextPingAt: number;
	pingMs: number;
	/** The next stage of the handshake must be reached by then. */
	deadlineAt: number;
	retryAt: number;
	/** Why the link is not online, in words. */
	problem: string;
}

export type LinkEvent =
	| { t: 'start' }
	| { t: 'opened'; socketId: number }
	| { t: 'frame'; socketId: number; frame: GatewayFrame }
	/** A pong, or a frame that this version does not know: the other side lives. */
	| { t: 'heard'; socketId: number }
	| { t: 'closed'; socketId: number; code: number; reason: string; httpStatus?: number }
	| { t: 'renewed'; ok: true }
	| { t: 'renewed'; ok: false; final: boolean; sentence: string }
	/** Connect anew at once (the node moves to another shard). */
	| { t: 'reconnect' }
	| { t: 'tick' }
	| { t: 'stop' };

export type LinkEffect =
	| { t: 'connect'; socketId: number }
	| { t: 'hello'; socketId: number; nonce: string; connId: string }
	| { t: 'ping'; socketId: number }
	| { t: 'drop'; socketId: number; reason: string }
	| { t: 'deliver'; frame: GatewayFrame }
	| { t: 'renew' }
	| { t: 'offline'; problem: string }
	/** Never connect again. */
	| { t: 'halt'; sentence: string };

export interface LinkStep {
	state: LinkState;
	effects: LinkEffect[];
}

const HANDSHAKE_MS = 10_000;
const MISSED_PONGS = 3;
/** A connection that was online for this long was a good one. */
const STEADY_MS = 10_000;

export const initialLink = (): LinkState => ({
	phase: 'idle',
	socketId: 0,
	attempt: 0,
	onlineAt: 0,
	renewed: false,
	lastHeardAt: 0,
	nextPingAt: 0,
	pingMs: TIMING.pingMs,
	deadlineAt: 0,
	retryAt: 0,
	problem: 'not connected yet',
});

const connect = (state: LinkState, now: number): LinkStep => {
	const socketId = state.socketId + 1;
	return {
		// No ping before the socket is open: the last one's silence says nothing about this one.
		state: { ...state, phase: 'connecting', socketId, nextPingAt: 0, deadlineAt: now + HANDSHAKE_MS },
		effects: [{ t: 'connect', socketId }],
	};
};

const halt = (state: LinkState, sentence: string): LinkStep => ({
	state: { ...state, phase: 'stopped', problem: sentence },
	effects: [
		{ t: 'drop', socketId: state.socketId, reason: 'stopping' },
		{ t: 'halt', sentence },
	],
});

const wait = (state: LinkState, problem: string, waitMs: number, now: number): LinkStep => ({
	state: { ...state, phase: 'backoff', attempt: state.attempt + 1, retryAt: now + waitMs, problem },
	effects: [{ t: 'offline', problem }],
});

/** A gateway that welcomes the node and closes at once, again and again, must not be hurried. */
const backOff = (before: LinkState, problem: string, now: number, random: number): LinkStep => {
	const lasted = before.phase === 'online' && now - before.onlineAt >= STEADY_MS;
	const state = lasted ? { ...before, attempt: 0 } : before;
	return wait(state, problem, fullJitter(state.attempt, random, { firstMs: TIMING.reconnectFirstMs, capMs: TIMING.reconnectCapMs }), now);
};

const FINAL_CLOSES: Readonly<Record<number, (reason: string) => string>> = {
	[CLOSE.banned]: (reason) => `The gateway does not take this node any more (${reason || 'banned'}); ask the operator of the gateway.`,
	[CLOSE.replaced]: () =>
		'Another process connected with the same state folder, so this one stops; give each node a --state-dir of its own.',
	[CLOSE.outdated]: () => 'The gateway needs a newer limner; update this node and start it again.',
};

const REFUSED =
	'The gateway refuses this node even with a fresh certificate; delete node.json in the state folder and enrol again with --token.';

const onClosed = (state: LinkState, event: Extract<LinkEvent, { t: 'closed' }>, now: number, random: number): LinkStep => {
	const final = FINAL_CLOSES[event.code];
	if (final !== undefined) return halt(state, final(event.reason));
	if (event.code === CLOSE.unauthorized || event.httpStatus === 401 || event.httpStatus === 403) {
		if (state.renewed) return halt(state, REFUSED);
		return { state: { ...state, phase: 'renewing', problem: 'the certificate was refused' }, effects: [{ t: 'renew' }] };
	}
	if (event.code === CLOSE.restarting) return wait(state, 'the gateway restarts', Math.floor(random * TIMING.reconnectRestartMs), now);
	const why = event.httpStatus === undefined ? event.reason || `code ${event.code}` : `HTTP ${event.httpStatus}`;
	return backOff(state, `the connection was lost (${why})`, now, random);
};

const pingGap = (pingMs: number, random: number): number => Math.round(pingMs * (1 + TIMING.pingJitter * (2 * random - 1)));

const onWelcome = (state: LinkState, frame: Extract<GatewayFrame, { t: 'welcome' }>, now: number): LinkStep => {
	if (frame.minVersion > PROTOCOL_VERSION) return halt(state, FINAL_CLOSES[CLOSE.outdated]?.('') ?? '');
	if (frame.mode === 'terminated') return halt(state, 'This node was terminated at the gateway; enrol it anew with a fresh --state-dir.');
	const pingMs = frame.config.pingMs > 0 ? frame.config.pingMs : TIMING.pingMs;
	const nextPingAt = pingMs < state.pingMs ? Math.min(state.nextPingAt, state.lastHeardAt + pingMs) : state.nextPingAt;
	return {
		state: {
			...state,
			phase: 'online',
			onlineAt: now,
			renewed: false,
			pingMs,
			nextPingAt,
			problem: '',
		},
		effects: [{ t: 'deliver', frame }],
	};
};

const onFrame = (before: LinkState, frame: GatewayFrame, now: number): LinkStep => {
	const state = { ...before, lastHeardAt: now };
	if (frame.t === 'challenge') {
		return {
			state: { ...state, phase: 'greeting', deadlineAt: now + HANDSHAKE_MS },
			effects: [{ t: 'hello', socketId: state.socketId, nonce: frame.nonce, connId: frame.connId }],
		};
	}
	if (frame.t === 'welcome') return onWelcome(state, frame, now);
	if (frame.t === 'mode' && frame.mode === 'terminated') {
		return halt(state, `This node was terminated at the gateway (${frame.reason}); enrol it anew with a fresh --state-dir.`);
	}
	// Before the welcome nothing is granted; a frame that comes early belongs to no conversation.
	return { state, effects: state.phase === 'online' ? [{ t: 'deliver', frame }] : [] };
};

const LIVE: ReadonlySet<LinkPhase> = new Set(['connecting', 'greeting', 'online']);

const giveUp = (state: LinkState, problem: string, now: number, random: number): LinkStep => {
	const next = backOff(state, problem, now, random);
	return { state: next.state, effects: [{ t: 'drop', socketId: state.socketId, reason: problem }, ...next.effects] };
};

const onTick = (state: LinkState, now: number, random: number): LinkStep => {
	if (state.phase === 'backoff' && now >= state.retryAt) return connect(state, now);
	if ((state.phase === 'connecting' || state.phase === 'greeting') && now >= state.deadlineAt) {
		return giveUp(state, 'the gateway does not finish the handshake', now, random);
	}
	if (!LIVE.has(state.phase) || state.nextPingAt === 0) return { state, effects: [] };
	if (now - state.lastHeardAt >= MISSED_PONGS * state.pingMs) return giveUp(state, 'the gateway fell silent', now, random);
	if (now < state.nextPingAt) return { state, effects: [] };
	return {
		state: { ...state, nextPingAt: now + pingGap(state.pingMs, random) },
		effects: [{ t: 'ping', socketId: state.socketId }],
	};
};

const onRenewed = (state: LinkState, event: Extract<LinkEvent, { t: 'renewed' }>, now: number, random: number): LinkStep => {
	if (state.phase !== 'renewing') return { state, effects: [] };
	if (event.ok) return connect({ ...state, renewed: true }, now);
	return event.final ? halt(state, event.sentence) : backOff(state, event.sentence, now, random);
};

/** Events of a socket that is no longer the newest, or that was already given up. */
const isOld = (state: LinkState, event: LinkEvent): boolean =>
	'socketId' in event && (event.socketId !== state.socketId || !LIVE.has(state.phase));

const onOpened = (state: LinkState, now: number, random: number): LinkStep => ({
	state: { ...state, lastHeardAt: now, nextPingAt: now + pingGap(state.pingMs, random), deadlineAt: now + HANDSHAKE_MS },
	effects: [],
});

const onReconnect = (state: LinkState, now: number): LinkStep => {
	const next = connect(state, now);
	return { state: next.state, effects: [{ t: 'drop', socketId: state.socketId, reason: 'moving' }, ...next.effects] };
};

const onStop = (state: LinkState): LinkStep => ({
	state: { ...state, phase: 'stopped', problem: 'stopped' },
	effects: [{ t: 'drop', socketId: state.socketId, reason: 'bye' }],
});

type Handlers = { [T in LinkEvent['t']]: (state: LinkState, event: Extract<LinkEvent, { t: T }>, now: number, random: number) => LinkStep };

const HANDLERS: Handlers = {
	start: (state, _event, now) => (state.phase === 'idle' ? connect(state, now) : { state, effects: [] }),
	opened: (state, _event, now, random) => onOpened(state, now, random),
	frame: (state, event, now) => onFrame(state, event.frame, now),
	heard: (state, _event, now) => ({ state: { ...state, lastHeardAt: now }, effects: [] }),
	closed: onClosed,
	renewed: onRenewed,
	reconnect: (state, _event, now) => onReconnect(state, now),
	tick: (state, _event, now, random) => onTick(state, now, random),
	stop: onStop,
};

/**
 * One step of the link.
 * @param now milliseconds; only differences matter
 * @param random 0..1
 */
export const stepLink = (state: LinkState, event: LinkEvent, now: number, random: number): LinkStep => {
	if (state.phase === 'stopped' || isOld(state, event)) return { state, effects: [] };
	const handler = HANDLERS[event.t] as (state: LinkState, event: LinkEvent, now: number, random: number) => LinkStep;
	return handler(state, event, now, random);
};

/** When the next `tick` is needed; `undefined` when only an event can change anything. */
export const linkWakeAt = (state: LinkState): number | undefined => {
	if (state.phase === 'backoff') return state.retryAt;
	if (!LIVE.has(state.phase)) return undefined;
	const times = [];
	if (state.phase !== 'online') times.push(state.deadlineAt);
	if (state.nextPingAt > 0) times.push(state.nextPingAt, state.lastHeardAt + MISSED_PONGS * state.pingMs);
	return Math.min(...times);
};

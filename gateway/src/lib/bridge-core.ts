/**
 * Following a job, the part that decides: which frames of the Pool's bridge reach a caller, when a closed bridge is
 * opened again, what to leave out when a caller reads too slowly. Pure.
 * @module
 */
import { isTerminal, TERMINAL_EVENTS, TIMING, type BridgeFrame, type HistEntry } from '@limner/shared';
import type { JobRow } from '../rpc.ts';

export interface FollowState {
	/** Last durable event that was passed on. */
	lastRev: number;
	/** Bridges in a row that closed without bringing anything. */
	tries: number;
}

export type FrameVerdict = 'pass' | 'duplicate' | 'terminal';

/** Reads one text of the bridge; `undefined` when it is no frame. */
export const parseFrame = (text: string): BridgeFrame | undefined => {
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch {
		return undefined;
	}
	if (typeof value !== 'object' || value === null || !('event' in value) || typeof value.event !== 'string') return undefined;
	const id = 'id' in value && typeof value.id === 'number' ? { id: value.id } : {};
	return { event: value.event as BridgeFrame['event'], data: 'data' in value ? value.data : {}, ...id };
};

/**
 * What to do with a frame. A bridge that was opened again replays, and a replay may overlap with what came live before,
 * so durable events that were already passed on are dropped.
 */
export const onFrame = (state: FollowState, frame: BridgeFrame): { state: FollowState; verdict: FrameVerdict } => {
	if (frame.id === undefined) return { state: { ...state, tries: 0 }, verdict: 'pass' };
	if (frame.id <= state.lastRev) return { state, verdict: 'duplicate' };
	return { state: { lastRev: frame.id, tries: 0 }, verdict: TERMINAL_EVENTS.has(frame.event) ? 'terminal' : 'pass' };
};

/** Longest pause before a bridge is opened again, by number of the try. */
const PAUSE_MS = [100, 250, 500, 1000, 2000];

/**
 * What to do when the bridge closed before a terminal event.
 * @param random 0..1: a restarted Pool must not meet all its watchers in one moment
 */
export const onClosed = (state: FollowState, random: number): { state: FollowState; pauseMs: number | undefined } => {
	const tries = state.tries + 1;
	if (tries > TIMING.sseBridgeTries) return { state: { ...state, tries }, pauseMs: undefined };
	const longest = PAUSE_MS[tries - 1] ?? 2000;
	return { state: { ...state, tries }, pauseMs: Math.round(longest * (0.5 + random / 2)) };
};

/** A history entry of a row, with what the Pool adds to it for a watcher: the picture, or the outcome. */
const outcome = (row: RowEnd, entry: HistEntry): Record<string, unknown> => {
	if (entry.type === 'image') return { ...entry, image: row.images.find((record) => record.index === entry.index) };
	if (!TERMINAL_EVENTS.has(entry.type)) return entry;
	const { images, warnings, usage, error } = row;
	return { ...entry, images, warnings, ...(usage === undefined ? {} : { usage }), ...(error === undefined ? {} : { error }) };
};

type RowEnd = Pick<JobRow, 'hist' | 'images' | 'warnings' | 'usage' | 'error'>;

/** The row's history as frames, from after `after`: for a job that its Pool has already forgotten. */
export const replayRow = (row: RowEnd, after: number): BridgeFrame[] =>
	row.hist
		.filter((entry) => entry.rev > after)
		.toSorted((a, b) => a.rev - b.rev)
		.map((entry) => ({ event: entry.type, id: entry.rev, data: outcome(row, entry) }));

export type Admission = 'send' | 'drop' | 'end';

/**
 * Back-pressure: a caller that does not read loses what the next frame replaces anyway, and is let go when even durable
 * events pile up.
 * @param desiredSize of the stream's controller: bytes below the high-water mark, negative above it
 * @param highWaterMark bytes
 */
export const admit = (durable: boolean, desiredSize: number | null, highWaterMark: number): Admission => {
	if (desiredSize === null) return 'end';
	if (highWaterMark - desiredSize > TIMING.ssePendingBytes) return 'end';
	return !durable && desiredSize <= 0 ? 'drop' : 'send';
};

/**
 * `Last-Event-ID`, else `?after=`: a browser that comes back repeats its URL, so the header is the newer of the two.
 * Anything that is no revision counts as the beginning.
 */
export const startAfter = (lastEventId: string | undefined, after: number | undefined): number =>
	lastEventId !== undefined && /^\d{1,9}$/.test(lastEventId) ? Number(lastEventId) : (after ?? 0);

/** Whether somebody who has read up to `after` has read all that a job's row will ever tell. */
export const hasReadAll = (row: Pick<JobRow, 'state' | 'hist'>, after: number): boolean =>
	isTerminal('job', row.state) && row.hist.every((entry) => entry.rev <= after);

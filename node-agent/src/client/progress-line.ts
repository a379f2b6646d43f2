/**
 * Draws a job's progress: one line that is rewritten on a terminal, plain lines elsewhere.
 * @module
 */
import type { JobEvent } from './follow.ts';
import { initialProgress, phaseTimes, reduceProgress, type JobProgress } from './progress.ts';

const BAR_CHARS = 24;
const PLAIN_EVERY_MS = 2000;
const REDRAW_EVERY_MS = 80;

export interface ProgressLineOptions {
	/** Where to draw; default standard error, so that standard output stays clean for paths. */
	stream?: { write: (text: string) => unknown; isTTY?: boolean; columns?: number };
	/** Pictures asked for; default 1. */
	n?: number;
	now?: () => number;
}

export interface ProgressLine {
	event: (event: JobEvent) => void;
	/** Shows a sentence above the line. */
	note: (text: string) => void;
	/** Leaves the line and answers the milliseconds of each phase. */
	done: () => Record<string, number>;
	state: () => JobProgress;
}

const seconds = (ms: number): string => (ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`);

/** Bar of a fraction 0..1. */
export const bar = (fraction: number, chars = BAR_CHARS): string => {
	const full = Math.round(Math.max(0, Math.min(1, fraction)) * chars);
	return `[${'█'.repeat(full)}${'░'.repeat(chars - full)}]`;
};

const waitingText = (state: JobProgress): string => {
	const parts = [state.phase === 'granted' ? 'handed to a node' : 'queued'];
	if (state.position !== undefined) parts.push(state.position === 1 ? 'next in line' : `place ${state.position}`);
	if (state.etaMs !== undefined) parts.push(`about ${seconds(state.etaMs.high)}`);
	if (state.reason !== undefined) parts.push(state.reason);
	if (state.requeues > 0) parts.push(`attempt ${state.requeues + 1}`);
	return parts.join(' · ');
};

/** Positions of pictures that are being made, from 0, ascending. */
const activeOf = (state: JobProgress): number[] =>
	Object.entries(state.pictures)
		.filter(([, picture]) => !picture.done)
		.map(([index]) => Number(index))
		.toSorted((a, b) => a - b);

/** Which pictures are being made: several at once where they go through the network together, or on several nodes. */
const picturesText = (active: readonly number[], done: number, total: number): string => {
	const [first, last] = [active[0] ?? Math.max(0, done - 1), active.at(-1) ?? 0];
	if (active.length < 2) return `picture ${first + 1}/${total}`;
	const inARow = last - first === active.length - 1;
	return inARow ? `pictures ${first + 1}–${last + 1}/${total}` : `${active.length} pictures of ${total}`;
};

const runningText = (state: JobProgress): string => {
	const pictures = Object.values(state.pictures);
	const total = Math.max(1, state.n);
	const share =
		pictures.reduce((sum, picture) => sum + (picture.done ? 1 : picture.steps > 0 ? picture.step / picture.steps : 0), 0) / total;
	const active = activeOf(state);
	const done = pictures.length - active.length;
	// of those made together the slowest is shown
	const [shown] = active.map((index) => state.pictures[index]).toSorted((a, b) => (a?.step ?? 0) - (b?.step ?? 0));
	const picture = shown ?? pictures.at(-1);
	const parts = [`${state.phase.padEnd(9)} ${bar(state.fraction ?? share)}`];
	if (total > 1) parts.push(picturesText(active, done, total));
	if (picture !== undefined && picture.steps > 0) parts.push(`step ${picture.step}/${picture.steps}`);
	if (shown?.itPerS !== undefined) parts.push(`${shown.itPerS.toFixed(shown.itPerS < 10 ? 2 : 0)} it/s${active.length > 1 ? ' each' : ''}`);
	const eta = etaOf(state);
	if (eta !== undefined) parts.push(`ETA ${seconds(eta)}`);
	return parts.join('  ');
};

/** Milliseconds until the last picture: from the pictures' own estimates or their rates, and those that come after them. */
const etaOf = (state: JobProgress): number | undefined => {
	const open = Object.values(state.pictures).filter((picture) => !picture.done);
	const each = open.map(
		(picture) =>
			picture.etaMs ??
			(picture.itPerS === undefined || picture.itPerS <= 0 ? undefined : ((picture.steps - picture.step) / picture.itPerS) * 1000),
	);
	const known = each.filter((value) => value !== undefined);
	if (known.length === 0) return undefined;
	const rounds = Math.ceil((Math.max(1, state.n) - Object.keys(state.pictures).length) / open.length);
	const whole = Math.max(0, ...open.map(({ itPerS, steps }) => (itPerS === undefined || itPerS <= 0 ? 0 : (steps / itPerS) * 1000)));
	return Math.max(...known) + Math.max(0, rounds) * whole;
};

/** The line for a state, without colours or cursor movement. */
export const renderProgress = (state: JobProgress): string => {
	if (state.phase === 'queued' || state.phase === 'granted') return waitingText(state);
	return runningText(state);
};

/** Some terminals say that they are 0 wide when they do not know. */
const widthOf = (columns: number | undefined): number => (columns === undefined || columns === 0 ? 100 : columns);

/** What is always worth a line of its own. */
const placeOf = (state: JobProgress): string => `${state.phase} ${state.position ?? ''}`;

const TERMINAL_WORDS = new Set(['succeeded', 'failed', 'canceled', 'expired']);

/** A progress line on a terminal or in a log. */
export const createProgressLine = (options: ProgressLineOptions = {}): ProgressLine => {
	const stream = options.stream ?? process.stderr;
	const now = options.now ?? Date.now;
	const tty = stream.isTTY === true;
	let state = initialProgress(options.n ?? 1, now());
	let drawnAt = Number.NEGATIVE_INFINITY;
	let drawn = '';
	let shown = '';

	const draw = (force: boolean): void => {
		const text = renderProgress(state);
		const due = now() - drawnAt >= (tty ? REDRAW_EVERY_MS : PLAIN_EVERY_MS);
		if (text === drawn || !(force || due)) return;
		drawn = text;
		drawnAt = now();
		shown = placeOf(state);
		stream.write(tty ? `\r\u001b[2K${text.slice(0, Math.max(20, widthOf(stream.columns) - 1))}` : `${text}\n`);
	};
	return {
		event: (event) => {
			state = reduceProgress(state, event, now());
			if (!TERMINAL_WORDS.has(state.phase)) draw(placeOf(state) !== shown);
		},
		note: (text) => {
			stream.write(tty ? `\r\u001b[2K${text}\n` : `${text}\n`);
			drawn = '';
		},
		done: () => {
			if (tty && drawn !== '') stream.write('\r\u001b[2K');
			drawn = '';
			return phaseTimes(state, now());
		},
		state: () => state,
	};
};

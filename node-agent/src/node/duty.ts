/**
 * Keeps a node's working hours: outside of them it takes nothing new, finishes what it has, and disconnects until they
 * begin again. Pure part first, timer second.
 * @module
 */
import { clockText, isOpen, nextChange, type Schedule } from './hours.ts';

export type DutyPhase = 'working' | 'draining' | 'resting';

export type DutyAction = 'connect' | 'goodbye' | 'disconnect';

export interface DutyState {
	phase: DutyPhase;
	/** When the gateway was last told, in ms. */
	toldAt: number;
}

/** The gateway leaves a node alone for 30 s after a goodbye; told again before that is over. */
const REPEAT_MS = 20_000;
const CHECK_MS = 5000;

/**
 * What to do now.
 * @param open whether these are working hours
 * @param unfinished tasks that still need a slot
 */
export const stepDuty = (state: DutyState, open: boolean, unfinished: number, now: number): { state: DutyState; action?: DutyAction } => {
	if (open) {
		const action = state.phase === 'resting' ? { action: 'connect' as const } : {};
		return { state: { ...state, phase: 'working' }, ...action };
	}
	if (state.phase === 'resting') return { state };
	if (unfinished === 0) return { state: { ...state, phase: 'resting' }, action: 'disconnect' };
	if (state.phase === 'draining' && now - state.toldAt < REPEAT_MS) return { state };
	return { state: { phase: 'draining', toldAt: now }, action: 'goodbye' };
};

export interface DutyParts {
	schedule: Schedule;
	unfinished: () => number;
	apply: (action: DutyAction, reason: string) => void;
	now?: () => number;
	checkMs?: number;
}

export class Duty {
	readonly #parts: DutyParts;
	#state: DutyState = { phase: 'resting', toldAt: 0 };
	#timer: NodeJS.Timeout | undefined;

	constructor(parts: DutyParts) {
		this.#parts = parts;
	}

	/** Connects now, or when the hours begin. */
	start(): void {
		this.#check();
		this.#timer = setInterval(() => this.#check(), this.#parts.checkMs ?? CHECK_MS).unref();
	}

	stop(): void {
		clearInterval(this.#timer);
	}

	get phase(): DutyPhase {
		return this.#state.phase;
	}

	/** Why there is no work, for the status line; empty in working hours. */
	text(): string {
		if (this.#state.phase === 'working') return '';
		const at = new Date(this.#now());
		const next = nextChange(this.#parts.schedule, at);
		const until = next === undefined || isOpen(this.#parts.schedule, at) ? '' : ` until ${clockText(next)}`;
		return this.#state.phase === 'draining' ? `finishes what it has, then rests${until}` : `rests${until}`;
	}

	#now(): number {
		return (this.#parts.now ?? Date.now)();
	}

	#check(): void {
		const now = this.#now();
		const { state, action } = stepDuty(this.#state, isOpen(this.#parts.schedule, new Date(now)), this.#parts.unfinished(), now);
		this.#state = state;
		if (action !== undefined) this.#parts.apply(action, `outside its hours (${this.#parts.schedule.text})`);
	}
}

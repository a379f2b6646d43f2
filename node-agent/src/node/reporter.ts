/**
 * Decides when progress is told: one envelope a node every 2 s, four a second while a task is watched, and nothing while
 * nothing moves. Pure part first, timer second.
 * @module
 */
import type { ProgressItem } from '@limner/shared';
import { monotonicMs } from '../lib/clock.ts';

export interface ReportState {
	sentAt: number;
	/** What was last told, by attempt. */
	told: Map<string, string>;
}

export interface ReportItem extends ProgressItem {
	key: string;
	watched: boolean;
}

export interface ReportConfig {
	progressMs: number;
	watchProgressMs: number;
	/** An unchanged task is told again after this long, as a sign of life. */
	keepAliveMs: number;
}

const textOf = (item: ReportItem): string => `${item.phase}:${item.step}/${item.steps}:${item.fraction ?? ''}`;

/** What to send now, and when to look again. */
export const planReport = (
	state: ReportState,
	items: readonly ReportItem[],
	now: number,
	config: ReportConfig,
): { send: ReportItem[]; wakeAt: number | undefined } => {
	if (items.length === 0) return { send: [], wakeAt: undefined };
	const changed = items.filter((item) => state.told.get(item.key) !== textOf(item));
	const urgent = changed.some((item) => item.watched);
	const gap = urgent ? config.watchProgressMs : config.progressMs;
	const due = state.sentAt + gap;
	if (changed.length > 0 && now >= due) return { send: changed, wakeAt: now + gap };
	if (now >= state.sentAt + config.keepAliveMs) return { send: [...items], wakeAt: now + config.keepAliveMs };
	return { send: [], wakeAt: changed.length > 0 ? due : state.sentAt + config.keepAliveMs };
};

export class Reporter {
	readonly #items: () => ReportItem[];
	readonly #send: (items: ReportItem[]) => void;
	readonly #config: () => ReportConfig;
	#state: ReportState = { sentAt: Number.NEGATIVE_INFINITY, told: new Map() };
	#timer: NodeJS.Timeout | undefined;
	#armedFor = 0;

	constructor(parts: { items: () => ReportItem[]; send: (items: ReportItem[]) => void; config: () => ReportConfig }) {
		this.#items = parts.items;
		this.#send = parts.send;
		this.#config = parts.config;
	}

	/** Something may have changed. */
	poke(): void {
		const now = monotonicMs();
		const items = this.#items();
		const { send, wakeAt } = planReport(this.#state, items, now, this.#config());
		if (send.length > 0) {
			this.#state = { sentAt: now, told: new Map(items.map((item) => [item.key, textOf(item)])) };
			this.#send(send);
		}
		this.#arm(wakeAt, now);
	}

	/** A new connection knows nothing: everything is told again. */
	reset(): void {
		this.#state = { sentAt: Number.NEGATIVE_INFINITY, told: new Map() };
		this.poke();
	}

	stop(): void {
		clearTimeout(this.#timer);
		this.#timer = undefined;
	}

	#arm(wakeAt: number | undefined, now: number): void {
		// A poke for every step must not move a timer that already stands right.
		if (this.#timer !== undefined && wakeAt === this.#armedFor) return;
		clearTimeout(this.#timer);
		this.#timer = undefined;
		if (wakeAt === undefined) return;
		this.#armedFor = wakeAt;
		this.#timer = setTimeout(
			() => {
				this.#timer = undefined;
				this.poke();
			},
			Math.max(1, wakeAt - now),
		);
	}
}

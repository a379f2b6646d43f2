/**
 * The slots of a node: carries out what their reducers decide.
 * @module
 */
import type { EngineModel } from '../engines/types.ts';
import { monotonicMs } from '../lib/clock.ts';
import type { FromWorker, SlotTask, StartWorker, ToWorker, Worker, WorkerExit } from './messages.ts';
import { slotWakeAt, stepSlot } from './reducer.ts';
import {
	acceptsTask,
	initialSlot,
	SLOT_LIMITS,
	type SlotEffect,
	type SlotEvent,
	type SlotLimits,
	type SlotOutcome,
	type SlotRun,
	type SlotState,
} from './state.ts';

export interface SlotManagerOptions {
	startWorker: StartWorker;
	onSettled: (slotId: string, task: SlotTask, outcome: SlotOutcome) => void;
	onPreview?: (task: SlotTask, step: number, jpeg: Uint8Array) => void;
	/** Something about a slot changed: a phase, a step, a loaded model. */
	onChange?: (slotId: string) => void;
	limits?: SlotLimits;
	now?: () => number;
}

interface Entry {
	state: SlotState;
	worker?: Worker;
	timer?: NodeJS.Timeout | undefined;
}

export class SlotManager {
	readonly #options: SlotManagerOptions;
	readonly #limits: SlotLimits;
	readonly #slots = new Map<string, Entry>();
	#goneWaiters: (() => void)[] = [];

	constructor(options: SlotManagerOptions) {
		this.#options = options;
		this.#limits = options.limits ?? SLOT_LIMITS;
	}

	/** Makes it `count` slots: new ones start, surplus ones end after their task. */
	resize(count: number): void {
		const active = [...this.#slots.values()].filter((entry) => !entry.state.retiring);
		for (let number = 0; active.length < count; number++) {
			const id = String(number);
			if (this.#slots.has(id)) continue;
			const entry: Entry = { state: initialSlot(id) };
			this.#slots.set(id, entry);
			active.push(entry);
			this.#dispatch(entry, { t: 'start' });
		}
		for (const entry of active.slice(count)) this.#dispatch(entry, { t: 'retire' });
	}

	/** Hands a slot a task, or several of one shape and model; answers why not when it cannot take them. */
	run(slotId: string, task: SlotTask, ...more: SlotTask[]): string | undefined {
		const entry = this.#slots.get(slotId);
		if (entry === undefined) return `There is no slot ${slotId} on this node.`;
		if (!acceptsTask(entry.state)) return `Slot ${slotId} is busy with another task.`;
		this.#dispatch(entry, { t: 'run', task, ...(more.length === 0 ? {} : { more }) });
		return undefined;
	}

	/** Whether the slot would take a task now. */
	accepts(slotId: string): boolean {
		const entry = this.#slots.get(slotId);
		return entry !== undefined && acceptsTask(entry.state);
	}

	/** Lets an idle slot load a model that it will need in a moment. */
	prepare(slotId: string, model: EngineModel): void {
		const entry = this.#slots.get(slotId);
		const idle = entry?.state.worker === 'up' && entry.state.run === undefined && entry.state.killedFor === undefined;
		if (idle) entry.worker?.post({ t: 'prepare', model });
	}

	cancel(key: string): void {
		for (const entry of this.#slots.values()) this.#dispatch(entry, { t: 'cancel', key });
	}

	/** Turns previews of a running task on or off. */
	watch(key: string, on: boolean): void {
		for (const entry of this.#slots.values()) {
			if (entry.state.run?.tasks.some((task) => task.key === key) === true) entry.worker?.post({ t: 'watch', key, on });
		}
	}

	states(): SlotState[] {
		return [...this.#slots.values()].map((entry) => entry.state);
	}

	/** What runs, or waits behind a task that is being cancelled. */
	running(): { slotId: string; run: SlotRun }[] {
		return this.states().flatMap((state) => (state.run === undefined ? [] : [{ slotId: state.id, run: state.run }]));
	}

	pidOf(slotId: string): number | undefined {
		return this.#slots.get(slotId)?.worker?.pid;
	}

	/** Ends every worker at once; resolves when all are gone. */
	async stop(): Promise<void> {
		if (this.#slots.size === 0) return;
		const gone = new Promise<void>((resolve) => {
			this.#goneWaiters.push(resolve);
		});
		for (const entry of this.#slots.values()) {
			this.#dispatch(entry, { t: 'retire' });
			entry.worker?.kill();
		}
		await gone;
	}

	#dispatch(entry: Entry, event: SlotEvent): void {
		const { now = monotonicMs, onChange } = this.#options;
		const { state, effects } = stepSlot(entry.state, event, now(), this.#limits);
		const changed = state !== entry.state;
		entry.state = state;
		for (const effect of effects) this.#apply(entry, effect);
		this.#arm(entry);
		if (changed) onChange?.(state.id);
	}

	#arm(entry: Entry): void {
		clearTimeout(entry.timer);
		entry.timer = undefined;
		const wakeAt = slotWakeAt(entry.state, this.#limits);
		if (wakeAt === undefined) return;
		const { now = monotonicMs } = this.#options;
		entry.timer = setTimeout(() => this.#dispatch(entry, { t: 'tick' }), Math.max(0, wakeAt - now()));
	}

	#apply(entry: Entry, effect: SlotEffect): void {
		switch (effect.t) {
			case 'spawn':
				this.#spawn(entry, effect.gen);
				break;
			case 'post':
				this.#post(entry, effect.message);
				break;
			case 'kill':
				entry.worker?.kill();
				break;
			case 'settled':
				this.#options.onSettled(entry.state.id, effect.task, effect.outcome);
				break;
			case 'preview':
				this.#options.onPreview?.(effect.task, effect.step, effect.jpeg);
				break;
			case 'gone':
				this.#remove(entry);
				break;
		}
	}

	#post(entry: Entry, message: ToWorker): void {
		entry.worker?.post(message);
	}

	#spawn(entry: Entry, gen: number): void {
		entry.worker = this.#options.startWorker(entry.state.id, {
			message: (message: FromWorker) => this.#dispatch(entry, { t: 'message', gen, message }),
			exit: (exit: WorkerExit) => this.#dispatch(entry, { t: 'exit', gen, exit }),
		});
	}

	#remove(entry: Entry): void {
		clearTimeout(entry.timer);
		this.#slots.delete(entry.state.id);
		if (this.#slots.size > 0) return;
		for (const waiter of this.#goneWaiters.splice(0)) waiter();
	}
}

/**
 * What happens by chance in a simulated world. Every chance is a function of the seed and of a name ("the third frame
 * of this connection"), never of the order in which things are asked. So a run can be repeated with some of its events
 * left out while the others stay as they were, which is what makes a failure shrink.
 * @module
 */

/** Kinds of trouble, in the words of the command line. */
export const FAULTS = {
	loss: 'frames are lost',
	duplication: 'frames, hand-overs and settlements arrive twice',
	reordering: 'frames overtake each other, hand-overs come late',
	eviction: 'the pool dies before or after any commit, with or without its sockets',
	rpc: 'calls between the objects fail before or after they took effect',
	clock: "the gateway's clock jumps, nodes' clocks run fast or slow",
	flapping: 'connections break and come back, also before the pool has noticed',
	zombie: 'nodes freeze, or work on behind a dead link and believe to be alive',
	kill: 'node processes die',
	failures: 'engines fail, uploads are refused',
	deadlines: 'some jobs have a deadline that may not be met',
	modes: 'owners pause, drain, resume, resize and terminate nodes',
	operators: 'operators initialise and shut down the pool, move nodes to other shards, fail slots by hand',
	source: 'the source of models cannot be reached',
} as const;
export type FaultName = keyof typeof FAULTS;
export const ALL_FAULTS: ReadonlySet<FaultName> = new Set(Object.keys(FAULTS) as FaultName[]);

/** Something that was left to chance and happened. */
export interface Happening {
	/** Virtual time, in milliseconds since the start of the world. */
	at: number;
	name: string;
	detail?: string;
}

/** FNV-1a over the name, then a mixer: equal on every machine. */
const hash = (seed: number, name: string): number => {
	let h = (0x811c9dc5 ^ seed) >>> 0;
	for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
	h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
	h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
	return (h ^ (h >>> 16)) >>> 0;
};

export class Fates {
	/** No faults any more. */
	calm = false;
	readonly happened: Happening[] = [];
	readonly #seed: number;
	readonly #faults: ReadonlySet<FaultName>;
	readonly #script: ReadonlySet<string> | undefined;
	readonly #elapsed: () => number;

	/**
	 * @param script when given, exactly the named faults and actions happen
	 * @param elapsed virtual milliseconds since the start, for the record
	 */
	constructor(seed: number, faults: ReadonlySet<FaultName>, script: ReadonlySet<string> | undefined, elapsed: () => number) {
		this.#seed = Math.imul(seed + 1, 0x9e3779b1) >>> 0;
		this.#faults = faults;
		this.#script = script;
		this.#elapsed = elapsed;
	}

	/** 0 ≤ x < 1, always the same for a name. */
	roll(name: string): number {
		return hash(this.#seed, name) / 4_294_967_296;
	}

	between(name: string, low: number, high: number): number {
		return low + this.roll(name) * (high - low);
	}

	pick<T>(name: string, items: readonly T[]): T {
		const item = items[Math.floor(this.roll(name) * items.length)];
		if (item === undefined) throw new RangeError('nothing to pick from');
		return item;
	}

	has(kind: FaultName): boolean {
		return this.#faults.has(kind);
	}

	/** Whether a fault of this kind happens here. */
	fault(kind: FaultName, name: string, probability: number): boolean {
		if (this.calm || !this.#faults.has(kind)) return false;
		const full = `${kind}: ${name}`;
		if (this.#script === undefined ? this.roll(full) >= probability : !this.#script.has(full)) return false;
		this.happened.push({ at: this.#elapsed(), name: full });
		return true;
	}

	/** Whether an action of the workload takes place: always, unless a script leaves it out. */
	action(name: string, detail: string, at = this.#elapsed()): boolean {
		if (this.#script?.has(name) === false) return false;
		this.happened.push({ at, name, detail });
		return true;
	}
}

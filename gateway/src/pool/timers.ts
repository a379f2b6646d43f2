/**
 * Deadlines of tasks, nodes, jobs and connections in one heap. An entry may stand earlier than its owner's true
 * deadline (a lease that was extended): it fires, the owner looks, and arms again. So extending costs nothing.
 * @module
 */

export interface Entry {
	at: number;
	key: string;
}

export interface Timers {
	heap: Entry[];
	/** The one valid entry of each key. */
	armed: Map<string, number>;
}

export const createTimers = (): Timers => ({ heap: [], armed: new Map() });

const less = (a: Entry, b: Entry): boolean => a.at < b.at || (a.at === b.at && a.key < b.key);

const push = (heap: Entry[], entry: Entry): void => {
	let i = heap.length;
	heap.push(entry);
	while (i > 0) {
		const parent = (i - 1) >> 1;
		const above = heap[parent] as Entry;
		if (!less(entry, above)) break;
		heap[i] = above;
		i = parent;
	}
	heap[i] = entry;
};

const pop = (heap: Entry[]): Entry | undefined => {
	const top = heap[0];
	const last = heap.pop();
	if (top === undefined || last === undefined || heap.length === 0) return top;
	let i = 0;
	for (;;) {
		let child = 2 * i + 1;
		if (child >= heap.length) break;
		if (child + 1 < heap.length && less(heap[child + 1] as Entry, heap[child] as Entry)) child++;
		if (!less(heap[child] as Entry, last)) break;
		heap[i] = heap[child] as Entry;
		i = child;
	}
	heap[i] = last;
	return top;
};

/** Arms a key unless it stands at that time or earlier already. */
export const arm = (timers: Timers, key: string, at: number): void => {
	const current = timers.armed.get(key);
	if (current !== undefined && current <= at) return;
	timers.armed.set(key, at);
	push(timers.heap, { at, key });
};

export const disarm = (timers: Timers, key: string): void => {
	timers.armed.delete(key);
};

const dropStale = (timers: Timers): Entry | undefined => {
	for (;;) {
		const top = timers.heap[0];
		if (top === undefined || timers.armed.get(top.key) === top.at) return top;
		pop(timers.heap);
	}
};

/** Time of the earliest armed key. */
export const nextAt = (timers: Timers): number | undefined => dropStale(timers)?.at;

/** Takes the earliest key that is due, or answers `undefined`. */
export const takeDue = (timers: Timers, now: number): string | undefined => {
	const top = dropStale(timers);
	if (top === undefined || top.at > now) return undefined;
	pop(timers.heap);
	timers.armed.delete(top.key);
	return top.key;
};

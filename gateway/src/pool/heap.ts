/**
 * A binary heap whose items can be moved and taken out from anywhere in O(log n). Plain data, like all of the pool's state.
 * Of the items in a heap the order of at most one may have changed when a function is called, and it is called for that one.
 * @module
 */

export interface Heap<T> {
	items: T[];
	places: Map<T, number>;
}

export type Less<T> = (a: T, b: T) => boolean;

export const createHeap = <T>(): Heap<T> => ({ items: [], places: new Map() });

/** The least item. */
export const top = <T>({ items }: Heap<T>): T | undefined => items[0];

const set = <T>(heap: Heap<T>, place: number, item: T): void => {
	heap.items[place] = item;
	heap.places.set(item, place);
};

const rise = <T>(heap: Heap<T>, from: number, item: T, less: Less<T>): number => {
	let place = from;
	while (place > 0) {
		const parent = (place - 1) >> 1;
		const above = heap.items[parent] as T;
		if (!less(item, above)) break;
		set(heap, place, above);
		place = parent;
	}
	return place;
};

const sink = <T>(heap: Heap<T>, from: number, item: T, less: Less<T>): number => {
	const { items } = heap;
	let place = from;
	for (;;) {
		let child = 2 * place + 1;
		if (child >= items.length) break;
		if (child + 1 < items.length && less(items[child + 1] as T, items[child] as T)) child++;
		if (!less(items[child] as T, item)) break;
		set(heap, place, items[child] as T);
		place = child;
	}
	return place;
};

/** Adds an item, or moves it to where it belongs now. */
export const put = <T>(heap: Heap<T>, item: T, less: Less<T>): void => {
	const at = heap.places.get(item) ?? heap.items.push(item) - 1;
	set(heap, sink(heap, rise(heap, at, item, less), item, less), item);
};

/** Takes an item out; a no-op when it is not in. Its own order is not looked at. */
export const take = <T>(heap: Heap<T>, item: T, less: Less<T>): void => {
	const at = heap.places.get(item);
	if (at === undefined) return;
	heap.places.delete(item);
	const last = heap.items.pop() as T;
	if (at === heap.items.length) return;
	set(heap, sink(heap, rise(heap, at, last, less), last, less), last);
};

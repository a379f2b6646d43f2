/**
 * A value that components can watch, and that outlives the page when it is stored.
 * @module
 */
import { useSyncExternalStore } from 'react';

export interface Value<T> {
	get: () => T;
	set: (next: T) => void;
	subscribe: (listener: () => void) => () => void;
}

export const createValue = <T>(initial: T): Value<T> => {
	let current = initial;
	const listeners = new Set<() => void>();
	return {
		get: () => current,
		set: (next) => {
			if (Object.is(current, next)) return;
			current = next;
			for (const listener of listeners) listener();
		},
		subscribe: (listener) => {
			listeners.add(listener);
			return () => listeners.delete(listener);
		},
	};
};

const read = <T>(name: string, absent: T, broken: T = absent): T => {
	try {
		const text = localStorage.getItem(name);
		return text === null ? absent : (JSON.parse(text) as T);
	} catch {
		// Private windows and broken entries: the page works, it only forgets.
		return broken;
	}
};

export interface Stored<T> extends Value<T> {
	/** Reads what another tab may have written in this moment. */
	reload: () => void;
}

/** A value kept in the browser under `name`; other tabs follow. */
export const createStored = <T>(name: string, fallback: T): Stored<T> => {
	const value = createValue(read(name, fallback));
	addEventListener('storage', (event) => {
		if (event.key === name) value.set(read(name, fallback));
	});
	return {
		...value,
		reload: () => value.set(read(name, fallback, value.get())),
		set: (next) => {
			try {
				if (next === undefined) localStorage.removeItem(name);
				else localStorage.setItem(name, JSON.stringify(next));
			} catch {
				// See `read`.
			}
			value.set(next);
		},
	};
};

export const useValue = <T>(value: Value<T>): T => useSyncExternalStore(value.subscribe, value.get);

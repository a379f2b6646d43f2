/**
 * Asking again and again, while somebody looks.
 * @module
 */
import { useCallback, useEffect, useRef, useState } from 'react';

export interface Polled<T> {
	data: T | undefined;
	/** Why the last question failed; `data` is what came before. */
	error: Error | undefined;
	loading: boolean;
	refresh: () => Promise<void>;
}

const hidden = (): boolean => typeof document !== 'undefined' && document.visibilityState === 'hidden';

/**
 * Asks at once, and then every `everyMs` while the page is visible.
 * @param ask must be stable (`useCallback`); a new one asks anew
 * @param everyMs pause between an answer and the next question; 0 = only once
 */
export const usePolled = <T>(ask: (signal: AbortSignal) => Promise<T>, everyMs: number): Polled<T> => {
	const [state, setState] = useState<{ data: T | undefined; error: Error | undefined; loading: boolean }>({
		data: undefined,
		error: undefined,
		loading: true,
	});
	const current = useRef<AbortController | undefined>(undefined);

	const refresh = useCallback(async () => {
		current.current?.abort();
		const own = new AbortController();
		current.current = own;
		try {
			const data = await ask(own.signal);
			if (!own.signal.aborted) setState({ data, error: undefined, loading: false });
		} catch (error) {
			if (own.signal.aborted) return;
			setState((before) => ({ ...before, error: error instanceof Error ? error : new Error(String(error)), loading: false }));
		}
	}, [ask]);

	useEffect(() => {
		let timer: ReturnType<typeof setTimeout> | undefined;
		let over = false;
		const turn = async (): Promise<void> => {
			if (!hidden()) await refresh();
			if (!over && everyMs > 0) timer = setTimeout(() => void turn(), everyMs);
		};
		void turn();
		return () => {
			over = true;
			clearTimeout(timer);
			current.current?.abort();
		};
	}, [refresh, everyMs]);
	return { ...state, refresh };
};

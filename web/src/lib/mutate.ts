/**
 * Doing something that a person asked for: says when it went wrong, and reads anew what it may have changed.
 * @module
 */
import { useState } from 'react';
import { sayError } from '../ui/toast.tsx';
import { queries } from './queries.ts';
import { onFailure } from './session.ts';

/** Runs `work`, then reads `keys` anew, whether it worked or not. */
export const perform = async (work: () => Promise<unknown>, ...keys: readonly string[][]): Promise<boolean> => {
	try {
		await work();
		return true;
	} catch (error) {
		onFailure(error);
		sayError(error);
		return false;
	} finally {
		await Promise.all(keys.map((queryKey) => queries.invalidateQueries({ queryKey })));
	}
};

/** Whether something runs now, so that its button can be off meanwhile. */
export const useBusy = (): [boolean, (work: () => Promise<unknown>) => Promise<void>] => {
	const [busy, setBusy] = useState(false);
	return [
		busy,
		async (work) => {
			setBusy(true);
			try {
				await work();
			} finally {
				setBusy(false);
			}
		},
	];
};

/**
 * Waits for something to become true. The time limit only bounds a failing test; nothing is asserted about speed.
 * @module
 */
export const until = async <T>(
	what: string,
	probe: () => Promise<T | undefined> | T | undefined,
	timeoutMs = 30_000,
	everyMs = 50,
): Promise<T> => {
	const end = Date.now() + timeoutMs;
	for (;;) {
		const value = await probe();
		if (value !== undefined) return value;
		if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms in vain until ${what}`);
		await new Promise((resolve) => setTimeout(resolve, everyMs));
	}
};

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * A bound for calls that may never be answered.
 * @module
 */

/**
 * The result of `work`, unless it takes too long. The work itself goes on: only calls that may be repeated are bounded.
 * @param ms milliseconds
 * @param what the subject of the error's sentence
 * @throws {Error} a sentence, after `ms`; what `work` throws
 */
export const withTimeout = async <T>(work: Promise<T>, ms: number, what: string): Promise<T> => {
	let timer: ReturnType<typeof setTimeout> | undefined;
	const late = new Promise<never>((_resolve, reject) => {
		timer = setTimeout(() => reject(new Error(`${what} did not answer within ${ms / 1000} s`)), ms);
	});
	try {
		return await Promise.race([work, late]);
	} finally {
		clearTimeout(timer);
	}
};

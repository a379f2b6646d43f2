/**
 * Reading bodies of unknown length within a limit.
 * @module
 */

/**
 * Reads a whole body, or gives up at the first byte over the limit.
 * @param max bytes
 */
export const readBounded = async (body: ReadableStream<Uint8Array> | null, max: number): Promise<Uint8Array<ArrayBuffer> | 'too_large'> => {
	const parts: Uint8Array[] = [];
	let total = 0;
	for await (const chunk of body ?? []) {
		total += chunk.length;
		if (total > max) return 'too_large';
		parts.push(chunk);
	}
	const whole = new Uint8Array(total);
	let at = 0;
	for (const part of parts) {
		whole.set(part, at);
		at += part.length;
	}
	return whole;
};

/**
 * Reading bodies of unknown length within a limit.
 * @module
 */

/** So much of a refused body is still read, and for so long. */
const DRAIN_BYTES = 64 * 1024 ** 2;
const DRAIN_MS = 3_000;

type Reader = ReadableStreamDefaultReader<Uint8Array>;

const drainReader = async (reader: Reader, maxBytes: number, maxMs: number): Promise<void> => {
	let timer: ReturnType<typeof setTimeout> | undefined;
	const late = new Promise<{ done: true }>((resolve) => {
		timer = setTimeout(() => resolve({ done: true }), maxMs);
	});
	try {
		for (let total = 0; total <= maxBytes;) {
			const chunk = await Promise.race([reader.read(), late]);
			if (chunk.done) break;
			total += chunk.value.length;
		}
	} catch {
		// The caller is gone: nobody waits for an answer.
	} finally {
		clearTimeout(timer);
		await reader.cancel().catch(() => undefined);
	}
};

/**
 * Reads what a refused request still sends and throws it away, within bounds: a server that answers and closes while
 * the body comes makes the caller see a reset connection instead of the answer that says why.
 */
export const drain = async (body: ReadableStream<Uint8Array>, maxBytes: number = DRAIN_BYTES, maxMs: number = DRAIN_MS): Promise<void> =>
	drainReader(body.getReader(), maxBytes, maxMs);

/**
 * Reads a whole body, or gives up at the first byte over the limit.
 * @param max bytes
 * @param rest what happens to what follows: a request's is drained, so that its sender hears the refusal
 */
export const readBounded = async (
	body: ReadableStream<Uint8Array> | null,
	max: number,
	rest: 'cancel' | 'drain' = 'cancel',
): Promise<Uint8Array<ArrayBuffer> | 'too_large'> => {
	const parts: Uint8Array[] = [];
	let total = 0;
	const reader = body?.getReader();
	for (;;) {
		const chunk = await reader?.read();
		if (reader === undefined || chunk === undefined || chunk.done) break;
		total += chunk.value.length;
		if (total > max) {
			await (rest === 'drain' ? drainReader(reader, DRAIN_BYTES, DRAIN_MS) : reader.cancel());
			return 'too_large';
		}
		parts.push(chunk.value);
	}
	const whole = new Uint8Array(total);
	let at = 0;
	for (const part of parts) {
		whole.set(part, at);
		at += part.length;
	}
	return whole;
};

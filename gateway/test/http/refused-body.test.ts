/** What a refused request still sends is read, so that its sender gets the answer instead of a reset connection. */
import { describe, expect, it } from 'vitest';
import { call, problemOf } from './harness.ts';

const CHUNK = new Uint8Array(64 * 1024).fill(0x20);
const CHUNKS = 40;

/** A body that counts what is taken of it. */
const counted = () => {
	const taken = { chunks: 0, end: false, canceled: false };
	const body = new ReadableStream<Uint8Array>({
		pull: (controller) => {
			if (taken.chunks < CHUNKS) {
				taken.chunks++;
				controller.enqueue(CHUNK);
			} else {
				taken.end = true;
				controller.close();
			}
		},
		cancel: () => {
			taken.canceled = true;
		},
	});
	return { taken, body };
};

describe('the body of a refused request', () => {
	it.each<[string, string, string, string | null, number]>([
		['without a key', 'POST', '/api/v1/jobs', null, 401],
		['with another method', 'PATCH', '/api/v1/jobs', null, 405],
		['to nowhere', 'POST', '/api/v1/nothing', null, 404],
		['with a ticket that is none', 'PUT', '/api/v1/results/nope', null, 401],
	])('%s is read to its end', async (_what, method, path, key, status) => {
		const { taken, body } = counted();
		const response = await call(path, { method, key, body, headers: { 'content-type': 'application/json' } });
		expect(response.status).toBe(status);
		expect((await problemOf(response)).status).toBe(status);
		expect(taken).toEqual({ chunks: CHUNKS, end: true, canceled: false });
	});
});

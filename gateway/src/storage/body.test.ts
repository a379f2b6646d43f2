import { describe, expect, it } from 'vitest';
import { drain, readBounded } from './body.ts';

const CHUNK = 64 * 1024;
const stream = (chunks: number) => {
	const seen = { pulled: 0, canceled: false };
	const body = new ReadableStream<Uint8Array>(
		{
			pull: (controller) => {
				if (seen.pulled === chunks) return controller.close();
				seen.pulled++;
				controller.enqueue(new Uint8Array(CHUNK).fill(seen.pulled));
				return undefined;
			},
			cancel: () => {
				seen.canceled = true;
			},
		},
		{ highWaterMark: 0 },
	);
	return { body, seen };
};

describe('readBounded', () => {
	it('reads all up to the limit', async () => {
		const bytes = await readBounded(stream(2).body, 2 * CHUNK);
		expect(bytes).toHaveLength(2 * CHUNK);
		expect([bytes[0], bytes.at(-1)]).toEqual([1, 2]);
		expect(await readBounded(null, 1)).toHaveLength(0);
	});
	it('stops reading an endless body', async () => {
		const { body, seen } = stream(Infinity);
		expect(await readBounded(body, 4 * CHUNK)).toBe('too_large');
		expect(seen).toEqual({ pulled: 5, canceled: true });
	});
	it('reads on behind the limit when the sender shall hear the answer', async () => {
		const { body, seen } = stream(20);
		expect(await readBounded(body, 4 * CHUNK, 'drain')).toBe('too_large');
		expect(seen.pulled).toBe(20);
	});
});

describe('drain', () => {
	it('ends with the body', async () => {
		const { body, seen } = stream(7);
		await drain(body);
		expect(seen.pulled).toBe(7);
	});
	it('gives up at its limit of bytes', async () => {
		const { body, seen } = stream(Infinity);
		await drain(body, 3 * CHUNK);
		expect(seen).toEqual({ pulled: 4, canceled: true });
	});
	it('gives up on a sender that trickles', async () => {
		let canceled = false;
		const silent = new ReadableStream<Uint8Array>({
			cancel: () => {
				canceled = true;
			},
		});
		await drain(silent, CHUNK, 1);
		expect(canceled).toBe(true);
	});
	it('minds no broken connection', async () => {
		const broken = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(new Error('reset')) });
		await expect(drain(broken)).resolves.toBeUndefined();
	});
});

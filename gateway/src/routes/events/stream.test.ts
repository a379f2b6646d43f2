import type { BridgeFrame } from '@limner/shared';
import { expect, it } from 'vitest';
import { sseStream, sseText } from './stream.ts';

const durable = (id: number, size = 10): BridgeFrame => ({ event: 'assigned', id, data: { pad: 'x'.repeat(size) } });
const tick = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

it('writes frames as server-sent events', () => {
	expect(sseText({ event: 'queued', id: 1, data: { a: 'b\nc' } })).toBe('id: 1\nevent: queued\ndata: {"a":"b\\nc"}\n\n');
	expect(sseText({ event: 'progress', data: {} })).toBe('event: progress\ndata: {}\n\n');
});

it('ends when the work ends, and delivers everything', async () => {
	const body = sseStream({
		run: async (emit) => {
			emit(durable(1));
			await tick();
			emit(durable(2));
		},
		signal: new AbortController().signal,
		onError: () => expect.unreachable(),
	});
	const text = await new Response(body).text();
	expect(text.startsWith('retry: 1000\n\n')).toBe(true);
	expect(text.match(/^id: \d+$/gm)).toEqual(['id: 1', 'id: 2']);
});

it('drops volatile frames of a slow reader, keeps durable ones, and lets go above a MiB', async () => {
	let aborted = false;
	const never = Promise.withResolvers<void>();
	const body = sseStream({
		run: (emit, signal) => {
			signal.addEventListener('abort', () => {
				aborted = true;
			});
			for (let i = 1; i <= 4; i++) emit(durable(i, 20_000));
			emit({ event: 'progress', data: { late: true } });
			emit(durable(5));
			for (let i = 6; i < 100; i++) emit(durable(i, 20_000));
			return never.promise;
		},
		signal: new AbortController().signal,
		onError: () => expect.unreachable(),
	});
	await tick();
	expect(aborted).toBe(true);
	const text = await new Response(body).text();
	never.resolve();
	expect(text).not.toContain('late');
	const ids = (text.match(/^id: \d+$/gm) ?? []).map((line) => Number(line.slice(4)));
	expect(ids.slice(0, 6)).toEqual([1, 2, 3, 4, 5, 6]);
	expect(ids.length).toBeLessThan(60);
	expect(text.length).toBeGreaterThan(1024 * 1024);
});

it('stops the work when the reader goes', async () => {
	const stopped = Promise.withResolvers<void>();
	const body = sseStream({
		run: (_emit, signal) => {
			signal.addEventListener('abort', () => stopped.resolve());
			return stopped.promise;
		},
		signal: new AbortController().signal,
		onError: () => expect.unreachable(),
	});
	await body.cancel();
	await stopped.promise;
});

it('stops the work when the request is aborted', async () => {
	const client = new AbortController();
	const stopped = Promise.withResolvers<void>();
	const body = sseStream({
		run: (_emit, signal) => {
			signal.addEventListener('abort', () => stopped.resolve());
			return stopped.promise;
		},
		signal: client.signal,
		onError: () => expect.unreachable(),
	});
	client.abort();
	await stopped.promise;
	expect(await new Response(body).text()).toBe('retry: 1000\n\n');
});

it('reports a failure and closes', async () => {
	const errors: unknown[] = [];
	const body = sseStream({
		run: () => Promise.reject(new Error('broken')),
		signal: new AbortController().signal,
		onError: (error) => errors.push(error),
	});
	expect(await new Response(body).text()).toBe('retry: 1000\n\n');
	expect(errors).toHaveLength(1);
});

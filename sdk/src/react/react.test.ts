// @vitest-environment happy-dom
import { act, cleanup, renderHook, waitFor } from '@testing-library/react';
import { createElement, type ReactElement, type ReactNode } from 'react';
import { afterEach, expect, it } from 'vitest';
import { Limner } from '../index.ts';
import { event, jobOf, json, problem, Script, stream, type Handler } from '../testing.test-lib.ts';
import { LimnerProvider, useGallery, useGeneration, useNodes } from './index.ts';

const wrapperOf = (script: Script) => {
	const client = new Limner({ baseUrl: 'http://gateway.test', fetch: script.fetch });
	return ({ children }: { children: ReactNode }): ReactElement => createElement(LimnerProvider, { client }, children);
};
afterEach(cleanup);

const endless: Handler = (_seen, signal) =>
	new Response(
		new ReadableStream({
			start: (controller) => {
				controller.enqueue(new TextEncoder().encode(event('preview', { index: 0, step: 1, contentType: 'image/jpeg', base64: '' })));
				signal.addEventListener('abort', () => controller.error(signal.reason));
			},
		}),
	);

it('generates: states, previews, pictures', async () => {
	const picture = { id: 'img_0', index: 0 };
	const text = event('progress', { index: 0, step: 1, steps: 2, phase: 'denoising' }) + event('image', { index: 0, image: picture }, 1);
	const script = new Script(
		json(jobOf('queued'), 202),
		stream(text + event('succeeded', {}, 2)),
		json(jobOf('succeeded', { images: [picture] as never })),
	);
	const { result } = renderHook(() => useGeneration(), { wrapper: wrapperOf(script) });
	expect(result.current.status).toBe('idle');
	await act(() => result.current.generate({ prompt: 'p' }));
	expect(result.current).toMatchObject({ status: 'succeeded', images: [picture], progress: { fraction: 1 } });
});

it('tells a refusal', async () => {
	const { result } = renderHook(() => useGeneration(), { wrapper: wrapperOf(new Script(problem(422, 'validation_failed'))) });
	await act(() => result.current.generate({ prompt: '' }));
	expect(result.current.status).toBe('failed');
	expect(result.current.error).toMatchObject({ code: 'validation_failed' });
	act(() => result.current.reset());
	expect(result.current).toMatchObject({ status: 'idle', error: undefined });
});

it('cancels at the gateway when asked, and keeps what a newer generation shows', async () => {
	const script = new Script(json(jobOf('queued'), 202), endless, json(jobOf('canceled')));
	const { result } = renderHook(() => useGeneration(), { wrapper: wrapperOf(script) });
	act(() => void result.current.generate({ prompt: 'p' }));
	await waitFor(() => expect(result.current.previews[0]).toBeDefined());
	act(() => result.current.cancel());
	await waitFor(() => expect(result.current.status).toBe('canceled'));
	expect(script.seen.at(-1)).toMatchObject({ method: 'POST', path: '/api/v1/jobs/job_1/cancel' });
});

it.each([
	['leave', 0],
	['cancel', 1],
] as const)('leaving the page: %s', async (onUnmount, cancels) => {
	const script = new Script(json(jobOf('queued'), 202), endless, json(jobOf('canceled')));
	const { result, unmount } = renderHook(() => useGeneration({ onUnmount }), { wrapper: wrapperOf(script) });
	let over: Promise<unknown> = Promise.resolve();
	act(() => {
		over = result.current.generate({ prompt: 'p' });
	});
	await waitFor(() => expect(result.current.previews[0]).toBeDefined());
	unmount();
	await over;
	expect(script.seen.filter(({ path }) => path.endsWith('/cancel'))).toHaveLength(cancels);
});

it('reads the gallery page by page, without doubles, and removes', async () => {
	const script = new Script(
		json({ data: [{ id: 'a' }, { id: 'b' }], nextCursor: 'c1' }),
		json({ data: [{ id: 'b' }, { id: 'c' }], nextCursor: null }),
		() => new Response(null, { status: 204 }),
	);
	const { result } = renderHook(() => useGallery({ pageSize: 2 }), { wrapper: wrapperOf(script) });
	await waitFor(() => expect(result.current.loading).toBe(false));
	expect(result.current.hasMore).toBe(true);
	await act(() => result.current.loadMore());
	expect(result.current.images.map(({ id }) => id)).toEqual(['a', 'b', 'c']);
	expect(result.current.hasMore).toBe(false);
	await act(() => result.current.remove('b'));
	expect(result.current.images.map(({ id }) => id)).toEqual(['a', 'c']);
	expect(script.seen.at(-1)).toMatchObject({ method: 'DELETE', path: '/api/v1/images/b' });
});

it('keeps the nodes that it has when a question fails', async () => {
	const script = new Script(json({ data: [{ id: 'node_1' }], nextCursor: null }), problem(403, 'forbidden'));
	const { result } = renderHook(() => useNodes({ pollMs: 10 }), { wrapper: wrapperOf(script) });
	await waitFor(() => expect(result.current.error).toMatchObject({ code: 'forbidden' }));
	expect(result.current.nodes).toEqual([{ id: 'node_1' }]);
	expect(script.seen.length).toBeGreaterThan(1);
});

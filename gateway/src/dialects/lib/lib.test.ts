import { LimnerError } from '@limner/shared';
import { describe, expect, it } from 'vitest';
import { parseAliases, resolveAlias } from './aliases.ts';
import { faultOf, JobEnded } from './fault.ts';
import { held } from './hold.ts';
import { decodeInline } from './pictures.ts';
import { fitSize, sizesOf, sizeText, suits } from './size.ts';
import { eventStream, eventText } from './sse.ts';

const storybook = { name: 'storybook', nativeWidth: 128, nativeHeight: 128, sizeMultiple: 8 };
const sdxl = { name: 'sdxl', nativeWidth: 1024, nativeHeight: 1024, sizeMultiple: 8 };

describe('sizes', () => {
	it('keeps what the model can draw, and snaps the rest to the same shape', () => {
		expect(fitSize(sdxl, { width: 1536, height: 1024 }, 'snap')).toEqual({ ok: true, size: { width: 1536, height: 1024 } });
		expect(fitSize(storybook, undefined, 'refuse')).toEqual({ ok: true, size: { width: 128, height: 128 } });
		expect(fitSize(storybook, { width: 1024, height: 1024 }, 'snap')).toMatchObject({ ok: true, size: { width: 128, height: 128 } });
		expect(fitSize(sdxl, { width: 1023, height: 512 }, 'snap')).toMatchObject({ warning: expect.stringContaining('1023x512') as string });
	});

	it('refuses with a list of which every size is possible', () => {
		expect(fitSize(storybook, { width: 1024, height: 1024 }, 'refuse')).toEqual({
			ok: false,
			detail: `storybook cannot draw 1024x1024; it can draw ${sizesOf(storybook).map(sizeText).join(', ')}`,
		});
		for (const model of [storybook, sdxl]) for (const size of sizesOf(model)) expect([size, suits(model, size)]).toEqual([size, true]);
	});

	it('stays within the bounds of a request, whatever the shape', () => {
		for (const wanted of [
			{ width: 8, height: 99_999 },
			{ width: 99_999, height: 8 },
		]) {
			const verdict = fitSize(sdxl, wanted, 'snap');
			expect(verdict.ok && Math.min(verdict.size.width, verdict.size.height)).toBe(64);
			expect(verdict.ok && Math.max(verdict.size.width, verdict.size.height)).toBe(2048);
		}
	});
});

describe('aliases', () => {
	const options = {
		known: ['storybook', 'sdxl'],
		aliases: parseAliases('dall-e-3=sdxl, my = storybook,bad,=x,a=b=c'),
		defaultModel: 'storybook',
	};
	it('are resolved, but never hide a model', () => {
		expect(
			[undefined, '', 'dall-e-2', 'gpt-image-1-mini', 'dall-e-3', 'my', 'sdxl', 'flux'].map((name) => resolveAlias(name, options)),
		).toEqual(['storybook', 'storybook', 'storybook', 'storybook', 'sdxl', 'storybook', 'sdxl', 'flux']);
		expect([...options.aliases.keys()]).toEqual(['dall-e-3', 'my']);
	});
});

describe('faults', () => {
	it('tell what a caller can mend, and nothing of ourselves', () => {
		expect(faultOf(new Error('secret'), 'r')).toMatchObject({
			status: 500,
			code: 'internal',
			message: expect.not.stringContaining('secret') as string,
		});
		expect(faultOf(new JobEnded('job_1', 'failed', { class: 'invalid', message: 'No.' }), 'r')).toEqual({
			status: 400,
			code: 'job_invalid',
			message: 'No.',
		});
		expect(faultOf(new JobEnded('job_1', 'canceled', undefined), 'r')).toMatchObject({ status: 409, code: 'job_canceled' });
		const errors = [{ pointer: '/size/0', detail: 'x' }];
		expect(faultOf(new LimnerError('validation_failed', { errors }), 'r')).toMatchObject({ field: 'size' });
		expect(faultOf(new LimnerError('queue_full', { retryAfterS: 2.5 }), 'r')).toMatchObject({ status: 429, retryAfterS: 3 });
	});
});

describe('inline pictures', () => {
	it('are base64 or data: URLs', () => {
		expect([...decodeInline('AAEC', 'x')]).toEqual([0, 1, 2]);
		expect([...decodeInline('data:image/png;base64,AA\nEC', 'x')]).toEqual([0, 1, 2]);
		for (const bad of ['', '*', 'https://x.example/a.png', 'data:image/png;base64,']) expect(() => decodeInline(bad, 'x')).toThrow(/x: /);
	});
});

describe('held answers', () => {
	it('keep their status when they are quick', async () => {
		const response = await held(Promise.resolve(Response.json({ no: 1 }, { status: 429 })), () => {}, 1000);
		expect([response.status, await response.json()]).toEqual([429, { no: 1 }]);
	});

	it('begin with white space when they are slow, and are JSON all the same', async () => {
		const slow = new Promise<Response>((resolve) => {
			setTimeout(() => resolve(Response.json({ yes: 1 })), 50);
		});
		const response = await held(slow, () => {}, 5);
		expect(response.status).toBe(200);
		const text = await response.text();
		expect(text.startsWith(' ')).toBe(true);
		expect(JSON.parse(text)).toEqual({ yes: 1 });
	});

	it('tell when nobody reads any more', async () => {
		let gone = false;
		const response = await held(new Promise<Response>(() => {}), () => (gone = true), 5);
		await response.body?.cancel();
		expect(gone).toBe(true);
	});
});

describe('event streams', () => {
	it('write names, JSON and plain words', () => {
		expect(eventText({ event: 'a', data: { b: 'c\nd' } })).toBe('event: a\ndata: {"b":"c\\nd"}\n\n');
		expect(eventText({ data: '[DONE]' })).toBe('data: [DONE]\n\n');
	});

	it('abort what runs when the reader goes, and swallow what it says afterwards', async () => {
		let aborted = false;
		const { body, done } = eventStream({
			run: async (emit, signal) => {
				emit({ data: 1 });
				await new Promise((resolve) => signal.addEventListener('abort', resolve));
				aborted = true;
				emit({ data: 2 });
			},
			signal: new AbortController().signal,
			onError: () => {},
		});
		const reader = body.getReader();
		expect(new TextDecoder().decode((await reader.read()).value)).toBe('data: 1\n\n');
		await reader.cancel();
		await done;
		expect(aborted).toBe(true);
	});
});

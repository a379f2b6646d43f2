import { BODY_LIMITS, LimnerError } from '@limner/shared';
import { describe, expect, it } from 'vitest';
import { checkJson, jsonDepth, readJsonText } from './json-body.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const codeOf = async (work: () => unknown): Promise<string> => {
	try {
		await work();
		return 'ok';
	} catch (error) {
		return error instanceof LimnerError ? error.code : 'other';
	}
};
const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
const request = (body: BodyInit, headers: Record<string, string> = {}): Request =>
	new Request('https://x/', {
		method: 'POST',
		body,
		headers,
		...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
	});

describe('jsonDepth', () => {
	it('counts brackets outside strings only', () => {
		expect(jsonDepth('1')).toBe(0);
		expect(jsonDepth('{"a":[1,{"b":2}],"c":{}}')).toBe(3);
		expect(jsonDepth(String.raw`{"a":"[[[{\"[\\"}`)).toBe(1);
	});
});

describe('checkJson', () => {
	it('takes the deepest allowed nesting and refuses one more', async () => {
		expect(await codeOf(() => checkJson(bytes(nested(BODY_LIMITS.jsonDepth))))).toBe('ok');
		expect(await codeOf(() => checkJson(bytes(nested(BODY_LIMITS.jsonDepth + 1))))).toBe('invalid_json');
		expect(await codeOf(() => checkJson(bytes('['.repeat(200_000))))).toBe('invalid_json');
	});
	it.each(['', '{', 'NaN', '{"steps":NaN}', "{'a':1}", '{"a":1}x'])('refuses %j', async (text) => {
		expect(await codeOf(() => checkJson(bytes(text)))).toBe('invalid_json');
	});
	it('refuses what is not UTF-8', async () => {
		expect(await codeOf(() => checkJson(new Uint8Array([0x22, 0xff, 0x22])))).toBe('invalid_json');
	});
});

describe('readJsonText', () => {
	it('takes a body of the largest size and refuses one byte more', async () => {
		const fits = `"${'x'.repeat(BODY_LIMITS.jsonBytes - 2)}"`;
		expect(await readJsonText(request(fits))).toBe(fits);
		expect(await codeOf(() => readJsonText(request(`${fits} `)))).toBe('payload_too_large');
	});
	it('believes a Content-Length that is too large without reading', async () => {
		const body = new ReadableStream({ pull: () => Promise.reject(new Error('read')) }, { highWaterMark: 0 });
		const claimed = request(body, { 'content-length': String(BODY_LIMITS.jsonBytes + 1) });
		expect(await codeOf(() => readJsonText(claimed))).toBe('payload_too_large');
	});
});

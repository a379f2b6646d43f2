import { BODY_LIMITS, REQUEST_LIMITS as L } from '@limner/shared';
import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it } from 'vitest';
import { call, countRows, KEY, problemOf, submit } from './harness.ts';

const post = (json: unknown): Promise<Response> => call('/api/v1/jobs', { json });
const good = (over: object): object => ({ prompt: 'a red castle', ...over });
const asset = { asset: `asset_${'0'.repeat(26)}` };

let before = 0;
let accepted = 0;
beforeAll(async () => {
	await submit();
	before = await countRows('jobs');
});
const text = (count: number): string => 'x'.repeat(count);
const depth = (count: number): string => `{"prompt":"a","x":${'['.repeat(count - 1)}${']'.repeat(count - 1)}}`;
const raw = (body: BodyInit, headers: Record<string, string> = { 'content-type': 'application/json' }): Promise<Response> =>
	call('/api/v1/jobs', { body, headers });
const outcome = async (response: Response): Promise<[number, string]> => {
	const problem = await problemOf(response);
	expect(problem.requestId).toBe(response.headers.get('x-request-id'));
	return [response.status, problem.code];
};

describe('values at the bound are taken, one past it refused', () => {
	it.each<[string, unknown, unknown[]]>([
		['prompt', text(L.promptChars), ['', text(L.promptChars + 1), 'a\u0000b', 5, null]],
		['negativePrompt', text(L.promptChars), [text(L.promptChars + 1), 'a\u0000b', 5]],
		['width', L.sizeMinPx, [L.sizeMinPx - 8, L.sizeMinPx + 1, 128.5, '128', null]],
		['width', L.sizeMaxPx, [L.sizeMaxPx + 8]],
		['height', L.sizeMinPx, [L.sizeMinPx - 8, true]],
		['height', L.sizeMaxPx, [L.sizeMaxPx + 8]],
		['steps', L.stepsMin, [L.stepsMin - 1, 1.5]],
		['steps', L.stepsMax, [L.stepsMax + 1, '20']],
		['guidance', L.guidanceMin, [L.guidanceMin - 0.001]],
		['guidance', L.guidanceMax, [L.guidanceMax + 0.001, '4']],
		['seed', L.seedMin, [L.seedMin - 1, 0.5]],
		['seed', L.seedMax, [L.seedMax + 1]],
		['n', L.nMin, [L.nMin - 1]],
		['n', L.nMax, [L.nMax + 1]],
		['eta', L.etaMax, [L.etaMax + 0.01, L.etaMin - 0.01]],
		['guidanceRescale', L.guidanceRescaleMax, [L.guidanceRescaleMax + 0.01, L.guidanceRescaleMin - 0.01]],
		['priority', L.priorityMax, [L.priorityMax + 1, L.priorityMin - 1]],
		['deadlineMs', L.deadlineMinMs, [L.deadlineMinMs - 1]],
		['deadlineMs', L.deadlineMaxMs, [L.deadlineMaxMs + 1]],
		['labels', Array.from({ length: L.labelsMax }, () => 'x'), [Array.from({ length: L.labelsMax + 1 }, () => 'x'), 'x']],
		['scheduler', 'DPM++ 2M Karras', ['nope', 5]],
		['class', 'batch', ['urgent']],
		['task', 'txt2img', ['video']],
		['pasteBack', false, ['false']],
	])('%s', async (field, bound, past) => {
		const taken = await post(good({ [field]: bound }));
		expect([bound, taken.status]).toEqual([bound, 202]);
		accepted++;
		const { id } = await taken.json<{ id: string }>();
		await call(`/api/v1/jobs/${id}/cancel`, { method: 'POST' });
		for (const value of past) {
			const refused = await post(good({ [field]: value }));
			const problem = await problemOf(refused);
			expect([value, refused.status, problem.code]).toEqual([value, 422, 'validation_failed']);
			expect(problem.errors?.map((error) => error.pointer)).toEqual([`/${field}`]);
			expect(refused.headers.get('content-type')).toBe('application/problem+json');
		}
	});
});

describe('fields that belong together', () => {
	it.each<[object, string[]]>([
		[{ stepz: 3, 'what/ever': 1 }, ['/stepz', '/what~1ever']],
		[{ labels: ['ok', ''] }, ['/labels/1']],
		[{ labels: ['x'.repeat(L.labelChars + 1)] }, ['/labels/0']],
		[{ strength: 0.5 }, ['/strength']],
		[{ strength: 1.01, initImage: asset }, ['/strength']],
		[{ task: 'img2img' }, ['/initImage']],
		[{ task: 'inpaint', initImage: asset }, ['/maskImage']],
		[{ initImage: { asset: 'nope' } }, ['/initImage/asset']],
		[{ initImage: asset }, ['/initImage/asset']],
		[{ initImage: { job: `job_${'0'.repeat(28)}` } }, ['/initImage/job']],
		[{ initImage: asset, maskImage: asset }, ['/initImage/asset', '/maskImage/asset']],
		[{ initImage: asset, steps: 10, strength: 0.05 }, ['/strength']],
		[{ initImage: 'https://example.com/a.png' }, ['/initImage']],
	])('%j', async (over, pointers) => {
		const response = await post(good(over));
		const problem = await problemOf(response);
		expect([response.status, problem.code]).toEqual([422, 'validation_failed']);
		expect(problem.errors?.map((error) => error.pointer)).toEqual(pointers);
	});
	it('names the models that exist', async () => {
		const response = await post(good({ model: 'sdxl' }));
		const problem = await problemOf(response);
		expect([response.status, problem.code]).toEqual([422, 'model_unknown']);
		expect(problem.detail).toContain('storybook');
		expect(problem.errors?.[0]?.pointer).toBe('/model');
	});
});

describe('bodies', () => {
	it.each(['', '{', '{"prompt":"a","guidance":NaN}', '{"prompt":"a",}', "{'prompt':'a'}"])('invalid JSON %j', async (body) => {
		expect(await outcome(await raw(body))).toEqual([400, 'invalid_json']);
	});
	it.each(['[]', '"text"', 'null', '5'])('JSON that is no object: %s', async (body) => {
		expect(await outcome(await raw(body))).toEqual([422, 'validation_failed']);
	});
	it('too deep', async () => {
		expect(await outcome(await raw(depth(BODY_LIMITS.jsonDepth)))).toEqual([422, 'validation_failed']);
		expect(await outcome(await raw(depth(BODY_LIMITS.jsonDepth + 1)))).toEqual([400, 'invalid_json']);
		expect(await outcome(await raw(`{"a":${'['.repeat(100_000)}`))).toEqual([400, 'invalid_json']);
	});
	it('without or with another Content-Type', async () => {
		const body = JSON.stringify({ prompt: 'must not get through' });
		expect(await outcome(await raw(new TextEncoder().encode(body), {}))).toEqual([415, 'unsupported_media_type']);
		expect(await outcome(await raw(body, { 'content-type': 'text/plain' }))).toEqual([415, 'unsupported_media_type']);
		expect(await outcome(await raw(body, { 'content-type': 'application/x-www-form-urlencoded' }))).toEqual([
			415,
			'unsupported_media_type',
		]);
		const fine = await raw(body, { 'content-type': 'application/json; charset=utf-8' });
		expect(fine.status).toBe(202);
		accepted++;
	});
	it('too large, with and without a Content-Length', async () => {
		const mega = new Uint8Array(1024 * 1024).fill(0x20);
		expect(await outcome(await raw(new Uint8Array(25 * 1024 * 1024).fill(0x20)))).toEqual([413, 'payload_too_large']);
		let sent = 0;
		const endless = new ReadableStream({
			pull: (controller) => {
				if (sent++ < 25) controller.enqueue(mega);
				else controller.close();
			},
		});
		expect(await outcome(await raw(endless))).toEqual([413, 'payload_too_large']);
		const pad = ' '.repeat(BODY_LIMITS.jsonBytes - JSON.stringify({ prompt: 'a' }).length);
		expect((await raw(`${JSON.stringify({ prompt: 'a' })}${pad}`)).status).toBe(202);
		accepted++;
		expect(await outcome(await raw(`${JSON.stringify({ prompt: 'a' })}${pad} `))).toEqual([413, 'payload_too_large']);
	});
});

describe('everything else', () => {
	it.each([
		['/api/v1/jobs?wait=46', '#/query/wait'],
		['/api/v1/jobs?wait=-1', '#/query/wait'],
		['/api/v1/jobs?wait=soon', '#/query/wait'],
	])('%s', async (path, pointer) => {
		const response = await call(path, { json: { prompt: 'a' } });
		expect(response.status).toBe(422);
		expect((await problemOf(response)).errors?.[0]?.pointer).toBe(pointer);
	});
	it('says what is wrong with an id that cannot exist', async () => {
		const response = await call('/api/v1/jobs/job_1');
		expect(response.status).toBe(404);
		expect((await problemOf(response)).detail).toContain('must be a job id');
	});
	it.each(['?limit=0', '?limit=201', '?limit=x', '?state=done', '?cursor='])('lists: %s', async (query) => {
		expect((await call(`/api/v1/jobs${query}`)).status).toBe(422);
	});
	it.each(['x'.repeat(L.idempotencyKeyChars + 1), 'caf\u00e9'])('Idempotency-Key %s', async (key) => {
		const response = await call('/api/v1/jobs', { json: { prompt: 'a' }, headers: { 'idempotency-key': key } });
		expect(response.status).toBe(422);
		expect((await problemOf(response)).errors?.[0]?.pointer).toBe('#/header/idempotency-key');
	});
	it('keys', async () => {
		for (const key of [null, 'nope', KEY.replace('0123', '9999'), KEY.replace('lk_test', 'lk_other'), KEY.replace('boot', 'toob')]) {
			const response = await call('/api/v1/jobs', { key, json: { prompt: 'a' } });
			expect([key, response.status, (await problemOf(response)).code]).toEqual([key, 401, 'unauthorized']);
			expect(response.headers.get('www-authenticate')).toContain('Bearer');
		}
		expect((await call('/api/v1/jobs', { key: null, headers: { 'x-api-key': KEY } })).status).toBe(200);
	});
	it('ids that are none', async () => {
		for (const id of ['x', 'job_', `job_${'u'.repeat(28)}`, '..%2f..']) {
			expect([id, (await call(`/api/v1/jobs/${id}`)).status]).toEqual([id, 404]);
		}
	});
	it('paths and methods', async () => {
		const missing = await call('/api/v1/nothing');
		expect([missing.status, (await problemOf(missing)).code]).toEqual([404, 'not_found']);
		const put = await call('/api/v1/jobs', { method: 'PUT' });
		expect([put.status, (await problemOf(put)).code]).toEqual([405, 'method_not_allowed']);
		expect(put.headers.get('allow')).toBe('GET, HEAD, POST');
		expect(put.headers.get('x-content-type-options')).toBe('nosniff');
	});
});

it('leaves no row and no object behind', async () => {
	expect(await countRows('jobs')).toBe(before + accepted);
	expect(await countRows('assets')).toBe(0);
	expect((await env.PICTURES.list()).objects).toEqual([]);
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BODY_LIMITS, REQUEST_LIMITS as L } from '@limner/shared';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';

let gateway: TestGateway;
beforeAll(async () => {
	gateway = await startTestGateway({ MAX_QUEUE_DEPTH: '1000' });
	// The first request makes the workspace's key row; what follows must add nothing.
	await gateway.api('GET', '/api/v1/jobs');
});
afterAll(() => gateway.stop());

const good = { prompt: 'a castle', seed: 1 };
const count = (): Record<string, number> => ({
	jobs: gateway.rows('Workspace', 'jobs').length,
	idem: gateway.rows('Workspace', 'idem').length,
	assets: gateway.rows('Workspace', 'assets').length,
	ledger: gateway.rows('Workspace', 'ledger').length,
	live: gateway.rows('Pool', 'live').length,
	objects: gateway.objects().length,
});

const text = (length: number): string => 'x'.repeat(length);
const FIELDS: [field: string, bad: unknown, pointer?: string][] = [
	['prompt', ''],
	['prompt', text(L.promptChars + 1)],
	['prompt', 'a\u0000b'],
	['prompt', 7],
	['prompt', null],
	['negativePrompt', text(L.promptChars + 1)],
	['width', L.sizeMinPx - 8],
	['width', L.sizeMaxPx + 8],
	['width', 100],
	['height', 65],
	['height', '128'],
	['steps', L.stepsMin - 1],
	['steps', L.stepsMax + 1],
	['steps', 1.5],
	['guidance', L.guidanceMin - 0.1],
	['guidance', L.guidanceMax + 0.1],
	['seed', -1],
	['seed', L.seedMax + 1],
	['seed', 0.5],
	['n', L.nMin - 1],
	['n', L.nMax + 1],
	['strength', 1.01],
	['eta', -0.01],
	['guidanceRescale', 1.01],
	['priority', 10],
	['priority', -1],
	['deadlineMs', L.deadlineMinMs - 1],
	['deadlineMs', L.deadlineMaxMs + 1],
	['labels', Array.from({ length: L.labelsMax + 1 }, () => 'a')],
	['scheduler', 'no-such-sampler'],
	['class', 'urgent'],
	['task', 'video'],
	['model', '../../etc/passwd'],
	['model', 'no-such-model'],
	['initImage', { asset: 'nonsense' }],
	['pasteBack', 'yes'],
	['surprise', 1],
];

const AT_THE_BOUND: Record<string, unknown>[] = [
	{ prompt: text(L.promptChars) },
	{ width: L.sizeMinPx, height: L.sizeMaxPx },
	{ steps: L.stepsMin },
	{ steps: L.stepsMax },
	{ guidance: L.guidanceMin },
	{ guidance: L.guidanceMax },
	{ seed: L.seedMin },
	{ seed: L.seedMax, n: L.nMax },
	{ n: L.nMin },
	{ priority: L.priorityMax },
	{ deadlineMs: L.deadlineMaxMs },
	{ labels: Array.from({ length: L.labelsMax }, () => text(L.labelChars)) },
	{ negativePrompt: null },
];

describe('bad input is refused in words and leaves nothing behind', () => {
	it('every field, one past its bound or of the wrong type', async () => {
		const before = count();
		for (const [field, bad] of FIELDS) {
			const answer = await gateway.api('POST', '/api/v1/jobs', { ...good, [field]: bad });
			const label = `${field}=${JSON.stringify(bad).slice(0, 40)} → ${JSON.stringify(answer.body).slice(0, 200)}`;
			expect(answer.status, label).toBe(422);
			expect(answer.headers.get('content-type'), label).toContain('application/problem+json');
			expect(JSON.stringify(answer.body), label).toContain(field);
		}
		expect(count()).toEqual(before);
	});

	it('bodies that are no job at all', async () => {
		const before = count();
		const json = { 'content-type': 'application/json' };
		const deep = `${'['.repeat(5000)}${']'.repeat(5000)}`;
		const cases: [body: string | Uint8Array, headers: Record<string, string>, status: number][] = [
			['{"prompt": "a", "guidance": NaN}', json, 400],
			['{"prompt": ', json, 400],
			['', json, 400],
			['null', json, 422],
			['[]', json, 422],
			[`{"prompt":"a","labels":${deep}}`, json, 400],
			[new Uint8Array(25 * 1024 * 1024).fill(0x20), json, 413],
			[JSON.stringify({ ...good, prompt: text(BODY_LIMITS.jsonBytes) }), json, 413],
			['prompt=a', { 'content-type': 'application/x-www-form-urlencoded' }, 415],
		];
		for (const [body, headers, status] of cases) {
			const answer = await gateway.api('POST', '/api/v1/jobs', body, headers);
			expect(answer.status, `${String(body).slice(0, 40)} → ${JSON.stringify(answer.body).slice(0, 200)}`).toBe(status);
			expect(answer.headers.get('x-request-id')).toBeTruthy();
		}
		// Without a content type nothing may be skipped.
		const bare = await fetch(`${gateway.url}/api/v1/jobs`, {
			method: 'POST',
			headers: { authorization: `Bearer ${gateway.key}` },
			body: new Uint8Array(Buffer.from(JSON.stringify({ ...good, steps: 0 }))),
		});
		expect([415, 422]).toContain(bare.status);
		expect(count()).toEqual(before);
	});

	it('keys that are wrong, missing or somebody else’s', async () => {
		const before = count();
		const keys = [
			'',
			'Bearer nonsense',
			// One key in 32 ends with a zero by itself.
			`Bearer ${gateway.key.slice(0, -1)}${gateway.key.endsWith('0') ? '1' : '0'}`,
			'Bearer lk_other_abcd1234_0123456789012345678901234567890123456789',
			'Basic abc',
		];
		for (const authorization of keys) {
			const response = await fetch(`${gateway.url}/api/v1/jobs`, {
				method: 'POST',
				headers: { 'content-type': 'application/json', ...(authorization === '' ? {} : { authorization }) },
				body: JSON.stringify(good),
			});
			expect(response.status, authorization).toBe(401);
			expect(response.headers.get('www-authenticate'), authorization).toContain('Bearer');
		}
		expect(count()).toEqual(before);
	});

	it('assets that are no pictures', async () => {
		const before = count();
		const cases: [body: Uint8Array, type: string][] = [
			[Buffer.from('<svg onload=alert(1)>'), 'image/png'],
			[Buffer.from('GIF89a'), 'image/gif'],
			[new Uint8Array(0), 'image/png'],
			[new Uint8Array(BODY_LIMITS.assetBytes + 1), 'image/png'],
		];
		for (const [body, type] of cases) {
			const answer = await gateway.api('POST', '/api/v1/assets', body, { 'content-type': type });
			expect(answer.status, type).toBeGreaterThanOrEqual(400);
			expect(answer.status, type).toBeLessThan(500);
		}
		expect(count()).toEqual(before);
	});

	it('paths and ids that do not exist', async () => {
		for (const path of [
			'/api/v1/jobs/job_nope',
			`/api/v1/jobs/job_${'0'.repeat(28)}`,
			'/api/v1/nothing',
			'/api/v1/images/img_x',
			'/api/v1/assets/asset_x',
		]) {
			const answer = await gateway.api('GET', path);
			expect(answer.status, path).toBe(404);
			expect(answer.body['code'], path).toBe('not_found');
		}
		expect((await gateway.api('PATCH', '/api/v1/jobs')).status).toBe(405);
		expect((await gateway.api('GET', '/api/v1/nodes/connect')).status).toBe(426);
	});
});

it('takes every value at its bound', async () => {
	for (const extra of AT_THE_BOUND) {
		const answer = await gateway.api('POST', '/api/v1/jobs', { ...good, ...extra });
		expect(answer.status, `${JSON.stringify(extra).slice(0, 60)} → ${JSON.stringify(answer.body).slice(0, 200)}`).toBe(202);
	}
});

it('answers 429 with Retry-After when the queue of the workspace is full', async () => {
	const small = await startTestGateway({ MAX_QUEUE_DEPTH: '2' });
	try {
		for (let i = 0; i < 2; i++) await small.submit({ ...good, seed: i });
		const answer = await small.api('POST', '/api/v1/jobs', good);
		expect(answer.status).toBe(429);
		expect(answer.body['code']).toBe('queue_full');
		expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
		expect(small.rows('Workspace', 'jobs')).toHaveLength(2);
	} finally {
		await small.stop();
	}
});

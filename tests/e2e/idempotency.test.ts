import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';

let gateway: TestGateway;
beforeAll(async () => {
	gateway = await startTestGateway();
});
afterAll(() => gateway.stop());

it('makes one job of 20 parallel submits with one Idempotency-Key, and answers all alike', async () => {
	const body = { prompt: 'a lighthouse', seed: 1 };
	const answers = await Promise.all(
		Array.from({ length: 20 }, () => gateway.api('POST', '/api/v1/jobs', body, { 'idempotency-key': 'k-1' })),
	);
	expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([202]));
	expect(new Set(answers.map((answer) => JSON.stringify(answer.body))).size).toBe(1);
	expect(gateway.rows('Workspace', 'jobs')).toHaveLength(1);
	expect(gateway.rows('Workspace', 'idem')).toHaveLength(1);
	expect(gateway.rows('Pool', 'live')).toHaveLength(1);
});

it('refuses the key with another body', async () => {
	const answer = await gateway.api('POST', '/api/v1/jobs', { prompt: 'another', seed: 1 }, { 'idempotency-key': 'k-1' });
	expect(answer.status).toBe(422);
	expect(answer.body['code']).toBe('idempotency_mismatch');
	expect(gateway.rows('Workspace', 'jobs')).toHaveLength(1);
});

it('treats key order and spacing of the body as the same body', async () => {
	const answer = await gateway.api('POST', '/api/v1/jobs', '{ "seed": 1,\n "prompt": "a lighthouse" }', {
		'idempotency-key': 'k-1',
		'content-type': 'application/json',
	});
	expect(answer.status).toBe(202);
	expect(gateway.rows('Workspace', 'jobs')).toHaveLength(1);
});

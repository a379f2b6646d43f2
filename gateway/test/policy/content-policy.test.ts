/** The content policy: lists and the operator's hook, for prompts and for pictures. */
import { env } from 'cloudflare:workers';
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { hookSecret } from '../../src/hooks/call.ts';
import { call, cleanUp, countRows, submit } from '../http/harness.ts';
import { until } from '../pool/harness.ts';
import { grant, problemOf, putResult, stored } from '../storage/harness.ts';
import { makePng } from '../storage/pictures.ts';
import { withVar } from '../tenancy/harness.ts';
import type { AuditEvent } from '../../src/rpc.ts';
import { rpcOf } from '../workspace/fixtures.ts';

interface Asked {
	url: string;
	headers: Record<string, string>;
	body: string;
	event: { type: string; data: Record<string, unknown> };
}
let asked: Asked[] = [];
let answer: () => Response | Promise<Response> = () => Response.json({ action: 'allow' });
beforeEach(() => {
	asked = [];
	answer = () => Response.json({ action: 'allow' });
	vi.spyOn(globalThis, 'fetch').mockImplementation(async (input, init) => {
		const body = init?.body as string;
		asked.push({ url: input as string, headers: Object.fromEntries(new Headers(init?.headers)), body, event: JSON.parse(body) });
		return answer();
	});
});
afterEach(async () => {
	vi.restoreAllMocks();
	await cleanUp();
});

const HOOK = 'https://policy.example.com/check';
const hook = (more: object = {}) => ({ hook: { url: HOOK, onFailure: 'refuse', ...more } });
const withPolicy = <T>(policy: object, run: () => Promise<T>): Promise<T> => withVar('CONTENT_POLICY', JSON.stringify(policy), run);
const ask = (json: object, headers: Record<string, string> = {}) =>
	call('/api/v1/jobs', { json: { prompt: 'a red castle', ...json }, headers });

const refusals = async (): Promise<AuditEvent[]> =>
	(await (await call('/api/v1/audit?action=prompt.refuse')).json<{ data: AuditEvent[] }>()).data;

describe('prompts', () => {
	it('are refused by a list with a code of their own, and cost nothing', async () => {
		await submit({});
		const before = [await countRows('jobs'), await countRows('ledger'), await countRows('idem')];
		await withPolicy({ words: { refuse: ['castle'] } }, async () => {
			const refused = await ask({}, { 'idempotency-key': 'policy-1' });
			expect(await problemOf(refused)).toMatchObject({ status: 422, code: 'content_refused', detail: 'the prompt has "castle"' });
			const many = await call('/api/v1/workflows', {
				json: {
					jobs: [
						{ key: 'a', prompt: 'a fox' },
						{ key: 'b', prompt: 'a castle' },
					],
				},
			});
			expect(await problemOf(many)).toMatchObject({ status: 422, code: 'content_refused', detail: 'job b: the prompt has "castle"' });
			const openai = await call('/v1/images/generations', { json: { prompt: 'a castle', model: 'storybook' } });
			expect(openai.status).toBe(400);
			expect((await openai.json<{ error: { code: string } }>()).error.code).toBe('content_policy_violation');
			const pool = await call('/api/v1/pool/tasks', { method: 'POST', json: { prompt: 'a castle' } });
			expect(pool.status).toBe(422);
		});
		expect([await countRows('jobs'), await countRows('idem')]).toEqual([before[0], before[2]]);
		expect(asked).toEqual([]);
	});

	it('that are refused stand in the ledger, once an hour, without their words', async () => {
		await submit({});
		const before = (await refusals()).length;
		await withPolicy({ words: { refuse: ['dungeon'] } }, async () => {
			const prompt = 'a dungeon of my neighbour';
			expect((await ask({ prompt })).status).toBe(422);
			expect((await ask({ prompt })).status).toBe(422);
			expect((await ask({ prompt }, { 'idempotency-key': 'ledger-1' })).status).toBe(422);
			expect((await call('/v1/images/generations', { json: { prompt, model: 'storybook' } })).status).toBe(400);
			const graph = {
				jobs: [
					{ key: 'a', prompt: 'a fox' },
					{ key: 'b', prompt: 'another dungeon' },
				],
			};
			expect((await call('/api/v1/workflows', { json: graph })).status).toBe(422);
			expect((await call('/api/v1/workflows', { json: graph, headers: { 'idempotency-key': 'ledger-2' } })).status).toBe(422);
		});
		const entries = (await refusals()).slice(0, -before || undefined);
		// An hour may turn in between.
		expect(new Set(entries.map(({ target }) => target)).size).toBe(2);
		expect(entries.length).toBeLessThanOrEqual(4);
		expect(entries.at(-1)).toMatchObject({
			type: 'action',
			who: 'key:boot',
			detail: { promptChars: 25, model: 'storybook', task: 'txt2img', promptHash: expect.stringMatching(/^[0-9a-f]{32}$/) },
		});
		const text = JSON.stringify(entries) + (await (await call('/api/v1/audit/export')).text());
		expect(text).not.toContain('dungeon');
		expect(text).not.toContain('neighbour');
	});

	it('are flagged in the view, and a retry is judged anew', async () => {
		const { id, ...view } = await withPolicy({ words: { flag: ['castle'] } }, () => submit({}));
		expect(view.flagged).toEqual(['the prompt has "castle"']);
		expect(view.request).not.toHaveProperty('flagged');
		expect((await (await call(`/api/v1/jobs/${id}`)).json<{ flagged?: string[] }>()).flagged).toEqual(view.flagged);
		await call(`/api/v1/jobs/${id}/cancel`, { method: 'POST' });
		await until(async () => (await (await call(`/api/v1/jobs/${id}`)).json<{ state: string }>()).state === 'canceled', 'cancel');
		const again = await (await call(`/api/v1/jobs/${id}/retry`, { method: 'POST' })).json<{ flagged?: string[] }>();
		expect(again.flagged).toBeUndefined();
		expect((await call('/api/v1/jobs', { json: { prompt: 'x', flagged: [] } })).status).toBe(422);
	});

	it('are sent to the hook, signed, and its answer holds', async () => {
		answer = () => Response.json({ action: 'refuse', reason: 'no castles here' });
		await withPolicy(hook(), async () => {
			expect(await problemOf(await ask({ negativePrompt: 'fog' }))).toMatchObject({ code: 'content_refused', detail: 'no castles here' });
			answer = () => Response.json({ action: 'flag' });
			expect((await submit({})).flagged).toEqual(['the content policy flagged it']);
			answer = () => Response.json({ action: 'allow' });
			expect((await submit({})).flagged).toBeUndefined();
		});
		expect(asked[0]).toMatchObject({
			url: HOOK,
			event: { type: 'content.prompt', data: { workspaceId: 'test', prompt: 'a red castle', negativePrompt: 'fog', model: 'storybook' } },
		});
		const secret = hookSecret(env.LIMNER_SECRET, 'content');
		expect(new Webhook(secret).verify(asked[0]!.body, asked[0]!.headers)).toEqual(asked[0]!.event);
	});

	it.each([
		['an error', () => new Response('x', { status: 500 })],
		['a redirect', () => new Response(null, { status: 302, headers: { location: 'https://example.com/' } })],
		['nonsense', () => new Response('{"action":"maybe"}')],
		['too much', () => new Response('x'.repeat(20_000))],
		['nothing', () => Promise.reject(new TypeError('connection refused'))],
	] as const)('pass or wait as the setting says when the hook answers %s', async (_what, broken) => {
		answer = broken;
		await withPolicy(hook({ onFailure: 'allow' }), () => submit({}));
		const closed = await withPolicy(hook(), () => ask({}));
		expect(closed.headers.get('retry-after')).toBe('30');
		expect(await problemOf(closed)).toMatchObject({ status: 503, code: 'retry_later' });
	});

	it('that were accepted are answered as before, whatever the policy says now', async () => {
		const first = await submit({}, '/api/v1/jobs', { 'idempotency-key': 'policy-2' });
		await withPolicy({ words: { refuse: ['castle'] } }, async () => {
			const again = await ask({}, { 'idempotency-key': 'policy-2' });
			expect([again.status, (await again.json<{ id: string }>()).id]).toEqual([202, first.id]);
		});
	});

	it('do not go to an address of a private network', async () => {
		const refused = await withPolicy(hook({ url: 'http://169.254.169.254/latest' }), () => ask({}));
		expect(refused.status).toBe(503);
		expect(asked).toEqual([]);
	});

	it('pass nowhere while the setting cannot be read', async () => {
		const answered = await withVar('CONTENT_POLICY', '{"wordz":1}', () => ask({}));
		expect(await problemOf(answered)).toMatchObject({ status: 503, code: 'not_ready', detail: expect.stringContaining('CONTENT_POLICY') });
	});
});

const judged = <T>(run: () => Promise<T>, more: object = {}): Promise<T> =>
	withPolicy(hook({ prompts: false, results: true, ...more }), run);

describe('pictures', () => {
	const good = makePng({ width: 64, height: 64 });
	it('that are refused are deleted, end the task without another try, and are not charged', async () => {
		const { ws, task, jobId } = await grant();
		answer = () => Response.json({ action: 'refuse', reason: 'not this' });
		const put = await judged(() => putResult(task.ticket, good));
		expect(await problemOf(put)).toMatchObject({ status: 422, code: 'content_refused' });
		expect(await stored(`w/${ws}/${jobId}/`)).toEqual([]);
		await until(async () => (await rpcOf(ws).getJob(jobId))?.state === 'failed', 'the job fails');
		expect(await rpcOf(ws).getJob(jobId)).toMatchObject({
			error: { class: 'invalid', message: 'The content policy refused the picture: not this' },
			usage: { images: 0 },
			images: [],
		});
		expect(asked[0]!.event).toMatchObject({
			type: 'content.picture',
			data: { workspaceId: ws, jobId, index: 0, contentType: 'image/png' },
		});
		expect(asked[0]!.event.data['url']).toMatch(/\/api\/v1\/objects\//);
	});

	it('that are flagged say so in the record', async () => {
		const { ws, task, jobId } = await grant();
		answer = () => Response.json({ action: 'flag', reason: 'look at this' });
		expect((await judged(() => putResult(task.ticket, good))).status).toBe(200);
		await until(async () => (await rpcOf(ws).getJob(jobId))?.state === 'succeeded', 'settlement');
		expect((await rpcOf(ws).getJob(jobId))?.images[0]?.flagged).toBe('look at this');
	});

	it('wait while a closed hook does not answer, and are taken when it does; a result is not judged twice', async () => {
		const { ws, task, jobId } = await grant();
		answer = () => new Response(null, { status: 500 });
		expect((await judged(() => putResult(task.ticket, good))).status).toBe(503);
		expect((await rpcOf(ws).getJob(jobId))?.state).toBe('queued');
		answer = () => Response.json({ action: 'allow' });
		expect((await judged(() => putResult(task.ticket, good))).status).toBe(200);
		answer = () => Response.json({ action: 'refuse' });
		const times = asked.length;
		expect((await judged(() => putResult(task.ticket, good))).status).toBe(200);
		expect(asked).toHaveLength(times);
		expect(await stored(`w/${ws}/${jobId}/`)).toHaveLength(1);
	});
});

import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, it } from 'vitest';
import { complete, imageFor, until } from '../pool/harness.ts';
import { call, cleanUp, joinNode, pool, problemOf, submit, viewOf, WS } from './harness.ts';

afterEach(cleanUp);

/** A job whose picture is stored, made by a node that goes away afterwards. */
const finished = async (): Promise<{ id: string; key: string }> => {
	const node = await joinNode();
	const { id } = await submit();
	const task = await node.frame('task');
	node.ack(task);
	node.generated(task);
	const { key } = imageFor(WS, task, node.identity.id);
	await env.PICTURES.put(key, 'bytes');
	expect(await complete(pool(), node, task, WS)).toBe('accepted');
	return { id, key };
};

const usage = async () => (await call('/api/v1/resources/usage')).json<{ images: number; openJobs: number }>();

describe('a picture of a finished job', () => {
	it('can be the start of another job at once, and the node gets its key', async () => {
		const { id, key } = await finished();
		const next = await submit({ initImage: { job: id }, strength: 0.5 });
		expect(next.request).toMatchObject({ task: 'img2img', strength: 0.5, initImage: { job: id, index: 0 } });
		expect(JSON.stringify(next)).not.toContain(key);
		const live = await pool().view(WS, next.id);
		expect(live?.state).toMatch(/queued|running/);
		const wrong = await call('/api/v1/jobs', { json: { prompt: 'x', initImage: { job: id, index: 1 } } });
		expect((await problemOf(wrong)).errors?.[0]?.pointer).toBe('/initImage/index');
	});
	it('is removed with DELETE, from the view and from the storage', async () => {
		const { id, key } = await finished();
		expect((await viewOf(await call(`/api/v1/jobs/${id}`))).images).toHaveLength(1);
		const response = await call(`/api/v1/jobs/${id}`, { method: 'DELETE' });
		expect(response.status).toBe(200);
		const view = await viewOf(response);
		expect(view).toMatchObject({ state: 'succeeded', images: [] });
		expect(view.warnings.at(-1)).toContain('removed');
		expect(await env.PICTURES.head(key)).toBeNull();
		const gone = await call('/api/v1/jobs', { json: { prompt: 'x', initImage: { job: id } } });
		expect((await problemOf(gone)).errors?.[0]?.pointer).toBe('/initImage/job');
	});
	it('counts in the usage', async () => {
		const before = await usage();
		await finished();
		await until(async () => (await usage()).images === before.images + 1, 'usage');
		expect((await usage()).openJobs).toBe(0);
	});
});

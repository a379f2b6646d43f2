import { abortAllDurableObjects, evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, it } from 'vitest';
import type { WorkspaceRpc } from '../../src/rpc.ts';
import { until } from '../pool/harness.ts';
import { call, cleanUp, eventsOf, pool, submit, WS, type SseEvent } from './harness.ts';

afterEach(cleanUp);

const cancel = (id: string): Promise<Response> => call(`/api/v1/jobs/${id}/cancel`, { method: 'POST' });
const watched = (count: number): Promise<void> => until(async () => (await pool().metrics()).watchers === count, `${count} watchers`);

/** Reads a stream, and does something once after the first durable event. */
const follow = async (response: Response, after: () => Promise<unknown>): Promise<SseEvent[]> => {
	const durable: SseEvent[] = [];
	for await (const event of eventsOf(response)) {
		if (event.id === undefined) continue;
		durable.push(event);
		if (durable.length === 1) await after();
	}
	return durable;
};

describe('the event stream', () => {
	it('brings each durable event once when the pool restarts and drops its sockets', async () => {
		const { id } = await submit();
		const events = await follow(await call(`/api/v1/jobs/${id}/events`), async () => {
			await evictDurableObject(pool() as unknown as DurableObjectStub, { webSockets: 'close' });
			await watched(1);
			await cancel(id);
		});
		expect(events.map((event) => [event.id, event.event])).toEqual([
			[1, 'queued'],
			[2, 'canceled'],
		]);
	});
	it('goes on over a pool that hibernates', async () => {
		const { id } = await submit();
		const events = await follow(await call(`/api/v1/jobs/${id}/events`), async () => {
			await evictDurableObject(pool() as unknown as DurableObjectStub, { webSockets: 'hibernate' });
			await cancel(id);
		});
		expect(events.map((event) => event.event)).toEqual(['queued', 'canceled']);
	});
	it('goes on over a crash of all objects', async () => {
		const { id } = await submit();
		const events = await follow(await call(`/api/v1/jobs/${id}/events?after=0`), async () => {
			await abortAllDurableObjects();
			await cancel(id);
		});
		expect(events.map((event) => event.event)).toEqual(['queued', 'canceled']);
	});
	it('is closed at the pool when the caller goes', async () => {
		const { id } = await submit();
		const response = await call(`/api/v1/jobs/${id}/events`);
		const reader = response.body!.getReader();
		await reader.read();
		await watched(1);
		await reader.cancel();
		await watched(0);
		expect((await pool().metrics()).queued).toBe(1);
	});
	it('opens nothing for a HEAD', async () => {
		const { id } = await submit();
		const response = await call(`/api/v1/jobs/${id}/events`, { method: 'HEAD' });
		expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
		await new Promise((resolve) => setTimeout(resolve, 200));
		expect((await pool().metrics()).watchers).toBe(0);
	});
	it('is replayed from the row when the pool has forgotten the job', async () => {
		const { id } = await submit();
		await cancel(id);
		const workspace = env.WORKSPACE.getByName(WS) as unknown as WorkspaceRpc;
		await until(async () => (await workspace.getJob(id))?.state === 'canceled', 'settled row');
		const stub = pool() as unknown as DurableObjectStub;
		await runInDurableObject(stub, (_instance, state) => {
			state.storage.sql.exec('DELETE FROM live WHERE id = ?', id);
		});
		await evictDurableObject(stub);
		expect(await pool().known([id])).toEqual([]);
		const events = await follow(await call(`/api/v1/jobs/${id}/events?after=1`), async () => {});
		expect(events).toMatchObject([{ id: 2, event: 'canceled', data: { images: [] } }]);
	});
	it('tells a browser that has read the end not to come back', async () => {
		const { id } = await submit();
		await cancel(id);
		const workspace = env.WORKSPACE.getByName(WS) as unknown as WorkspaceRpc;
		await until(async () => (await workspace.getJob(id))?.state === 'canceled', 'settled row');
		const response = await call(`/api/v1/jobs/${id}/events?after=0`, { headers: { 'last-event-id': '2' } });
		expect([response.status, await response.text()]).toEqual([204, '']);
		expect((await call(`/api/v1/jobs/${id}/events`, { headers: { 'last-event-id': '1' } })).status).toBe(200);
	});
	it('has many watchers, each with all of it', async () => {
		const { id } = await submit();
		const streams = await Promise.all(Array.from({ length: 10 }, () => call(`/api/v1/jobs/${id}/events`)));
		await watched(10);
		const reading = streams.map((stream) => follow(stream, async () => {}));
		await cancel(id);
		for (const events of await Promise.all(reading)) expect(events.map((event) => event.id)).toEqual([1, 2]);
	});
});

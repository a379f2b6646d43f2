import { afterEach, describe, expect, it } from 'vitest';
import { until } from '../pool/harness.ts';
import { addKey, call, cleanUp, eventsOf, joinNode, submit } from './harness.ts';

afterEach(cleanUp);

interface Dashboard {
	overallCompletion: number | null;
	agentStatus: { agentId: string; status: string; jobId?: string }[];
	blockers: { kind: string; subject: string; reason: string }[];
	metrics: Record<string, number>;
	timeline: { action: string }[];
}
const dashboard = async (): Promise<Dashboard> => (await call('/api/v1/dashboard')).json();

describe('dashboard and presence', () => {
	it('show a waiting job with its reason, then the agent that works on it', async () => {
		const job = await submit({});
		const waiting = await dashboard();
		expect(waiting.blockers.find(({ subject }) => subject === job.id)?.reason).toBeTypeOf('string');
		expect(waiting.metrics).toMatchObject({ jobsOpen: 1, jobsWaiting: 1 });
		const node = await joinNode();
		node.ack(await node.frame('task'));
		await until(async () => (await dashboard()).agentStatus.some(({ jobId }) => jobId === job.id), 'the agent');
		expect((await dashboard()).metrics).toMatchObject({ agentsBusy: 1, jobsRunning: 1 });
		const presence = await (await call('/api/v1/presence')).json<{ nodes: { id: string; working: string[] }[] }>();
		expect(presence.nodes.find(({ id }) => id === node.identity.id)?.working).toEqual([job.id]);
		for (const alias of ['dashboard', 'presence']) expect((await call(`/api/coordination/${alias}`)).status).toBe(200);
	});

	it('stream both at once, and then what changes', async () => {
		const abort = new AbortController();
		const response = await call('/api/v1/presence/events', { signal: abort.signal });
		const events = eventsOf(response);
		const first = await events.next();
		const second = await events.next();
		expect([first.value?.event, second.value?.event]).toEqual(['presence', 'dashboard']);
		const node = await joinNode();
		const third = await events.next();
		expect(third.value?.event).toBe('presence');
		expect(JSON.stringify(third.value?.data)).toContain(node.identity.id);
		abort.abort();
		await events.return(undefined);
	});

	it('stream to an EventSource, which has a ticket instead of a header', async () => {
		const made = await call('/api/v1/presence/stream-ticket', { method: 'POST' });
		expect(made.status).toBe(201);
		const { url, ticket } = await made.json<{ url: string; ticket: string }>();
		const path = url.slice(url.indexOf('/api/'));
		const abort = new AbortController();
		const events = eventsOf(await call(path, { key: null, signal: abort.signal }));
		expect((await events.next()).value?.event).toBe('presence');
		abort.abort();
		await events.return(undefined);
		for (const wrong of [`${ticket.slice(0, -2)}xx`, 'x']) {
			expect((await call(`/api/v1/presence/events?ticket=${wrong}`, { key: null })).status).toBe(401);
		}
		// Of another kind: a ticket for a job opens nothing else, and this one no job.
		const job = await submit({});
		const other = await (await call(`/api/v1/jobs/${job.id}/stream-ticket`, { method: 'POST' })).json<{ ticket: string }>();
		expect((await call(`/api/v1/presence/events?ticket=${other.ticket}`, { key: null })).status).toBe(401);
		expect((await call(`/api/v1/jobs/${job.id}/events?ticket=${ticket}`, { key: null })).status).toBe(401);
		expect((await call('/api/v1/dashboard', { key: ticket })).status).toBe(401);
	});

	it('need supervisor:read', async () => {
		const key = await addKey('narrow6', ['jobs:read']);
		for (const path of ['/api/v1/dashboard', '/api/v1/presence', '/api/v1/presence/events']) {
			expect((await call(path, { key })).status).toBe(403);
			expect((await call(path, { key: null })).status).toBe(401);
		}
		expect((await call('/api/v1/presence/stream-ticket', { method: 'POST', key })).status).toBe(403);
	});
});

import { afterEach, describe, expect, it } from 'vitest';
import type { JobView } from '@limner/shared';
import { addKey, call, cleanUp, eventsOf, joinNode } from './harness.ts';

afterEach(cleanUp);

/** What two answers to the same question have in common: ids, times and addresses of a single request left out. */
const shape = async (response: Response): Promise<{ status: number; body: unknown }> => {
	const text = await response.text();
	const body: unknown = text === '' ? null : JSON.parse(text);
	const strip = (value: unknown): unknown => {
		if (Array.isArray(value)) return value.map(strip);
		if (typeof value !== 'object' || value === null) return value;
		const drop = new Set([
			'requestId',
			'instance',
			'url',
			'expiresAt',
			'lastSeenAt',
			'wakeups',
			'rowsWritten',
			'queue',
			'at',
			'updatedAt',
			'telemetry',
		]);
		return Object.fromEntries(
			Object.entries(value)
				.filter(([key]) => !drop.has(key))
				.map(([key, field]) => [key, strip(field)]),
		);
	};
	return { status: response.status, body: strip(body) };
};

describe('paths of the source documents', () => {
	it('submit, list, read, follow and cancel jobs', async () => {
		const submits = await Promise.all(
			['/api/jobs/submit', '/api/jobs', '/v1/jobs'].map((path) =>
				call(path, { json: { prompt: 'a red castle' } }).then(async (response) => ({
					status: response.status,
					job: await response.json<JobView>(),
				})),
			),
		);
		expect(submits.map(({ status }) => status)).toEqual([202, 202, 202]);
		const id = submits[0]!.job.id;
		for (const path of [`/api/jobs/${id}`, `/api/jobs/${id}/status`, `/v1/jobs/${id}`]) {
			expect(await shape(await call(path)), path).toEqual(await shape(await call(`/api/v1/jobs/${id}`)));
		}
		for (const path of ['/api/jobs?limit=2', '/v1/jobs?limit=2']) {
			expect(await shape(await call(path)), path).toEqual(await shape(await call('/api/v1/jobs?limit=2')));
		}
		const stream = await call(`/v1/jobs/${id}/stream`);
		expect(stream.headers.get('content-type')).toContain('text/event-stream');
		const other = await call(`/api/jobs/${id}/stream`);
		expect((await call(`/api/jobs/${id}/cancel`, { method: 'POST' })).status).toBe(200);
		for (const response of [stream, other]) {
			const seen: (string | undefined)[] = [];
			for await (const event of eventsOf(response)) seen.push(event.event);
			expect(seen).toContain('canceled');
		}
		expect((await call(`/v1/jobs/${submits[1]!.job.id}`, { method: 'DELETE' })).status).toBeLessThan(300);
	});

	it.each([
		['/api/supervisor/workers', '/api/v1/supervisor/workers'],
		['/api/supervisor/metrics', '/api/v1/supervisor/metrics'],
		['/api/resources/usage', '/api/v1/resources/usage'],
		['/api/coordination/alerts', '/api/v1/alerts'],
		['/api/coordination/audit?type=expire', '/api/v1/audit?type=expire'],
		['/api/coordination/webhooks', '/api/v1/webhooks'],
		['/api/jobs/nonsense', '/api/v1/jobs/nonsense'],
		[`/v1/jobs/job_${'0'.repeat(28)}`, `/api/v1/jobs/job_${'0'.repeat(28)}`],
		[`/v1/jobs/job_${'0'.repeat(28)}/stream`, `/api/v1/jobs/job_${'0'.repeat(28)}/events`],
	])('%s answers as %s does', async (alias, real) => {
		await joinNode();
		const [a, b] = [await shape(await call(alias)), await shape(await call(real))];
		expect(a).toEqual(b);
	});

	it('change a node, and are guarded like the real ones', async () => {
		const node = await joinNode();
		const path = `/api/supervisor/workers/${node.identity.id}/pause`;
		expect((await call(path, { method: 'POST', key: null })).status).toBe(401);
		const narrow = await addKey('narrow4', ['supervisor:read']);
		expect((await call(path, { method: 'POST', key: narrow })).status).toBe(403);
		expect((await call(path, { method: 'POST' })).status).toBe(200);
		expect((await call(path)).status).toBe(405);
		expect((await call('/api/jobs', { method: 'POST', key: null, json: { prompt: 'x' } })).status).toBe(401);
	});
});

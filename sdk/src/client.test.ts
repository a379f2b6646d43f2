import { describe, expect, it } from 'vitest';
import { ApiError, ConnectionError, JobFailedError, Limner, type JobEvent, type Preview, type Progress } from './index.ts';
import { event, jobOf, json, problem, Script, stream, type Handler } from './testing.test-lib.ts';

const clientOf = (script: Script): Limner => new Limner({ baseUrl: 'http://gateway.test/', apiKey: 'lk_x', fetch: script.fetch });
const PNG = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

const eventsOf = async (script: Script, after?: number): Promise<JobEvent[]> => {
	const events: JobEvent[] = [];
	for await (const one of clientOf(script).jobs.events('job_1', after === undefined ? {} : { after })) events.push(one);
	return events;
};

const silent: Handler = (_seen, signal) =>
	new Response(
		new ReadableStream({
			start: (controller) => {
				controller.enqueue(new TextEncoder().encode(event('queued', {}, 1)));
				signal.addEventListener('abort', () => controller.error(signal.reason));
			},
		}),
	);

const lost: Handler = () => {
	throw new TypeError('fetch failed');
};

describe('calls', () => {
	it('sends the key, the query and JSON, and trims the address', async () => {
		const script = new Script(json({ data: [], nextCursor: null }));
		await clientOf(script).jobs.list({ limit: 3, state: 'failed' });
		expect(script.seen[0]).toMatchObject({ method: 'GET', path: '/api/v1/jobs?limit=3&state=failed' });
		expect(script.seen[0]!.headers.get('authorization')).toBe('Bearer lk_x');
	});

	it('asks a key function for each call', async () => {
		const script = new Script(json({}));
		let count = 0;
		const client = new Limner({ baseUrl: 'http://gateway.test', apiKey: () => Promise.resolve(`k${++count}`), fetch: script.fetch });
		await client.usage();
		await client.usage();
		expect(script.seen.map(({ headers }) => headers.get('authorization'))).toEqual(['Bearer k1', 'Bearer k2']);
	});

	it('tells a refusal with its code, fields and request id, and does not repeat it', async () => {
		const script = new Script(problem(422, 'validation_failed', { errors: [{ pointer: '/steps', detail: 'too many' }] }));
		const error = await clientOf(script)
			.jobs.submit({ prompt: 'p' })
			.catch((thrown: unknown) => thrown);
		expect(error).toBeInstanceOf(ApiError);
		expect(error).toMatchObject({
			status: 422,
			code: 'validation_failed',
			requestId: 'req_1',
			message: 'validation_failed (/steps: too many)',
		});
		expect(script.seen).toHaveLength(1);
	});

	it('repeats a submit with the same idempotency key when the answer is lost', async () => {
		const script = new Script(lost, problem(503, 'retry_later'), json(jobOf('queued'), 202));
		const job = await clientOf(script).jobs.submit({ prompt: 'p' });
		expect(job.id).toBe('job_1');
		const keys = script.seen.map(({ headers }) => headers.get('idempotency-key'));
		expect(keys).toHaveLength(3);
		expect(new Set(keys).size).toBe(1);
		expect(keys[0]).toMatch(/^[0-9a-f]{32}$/);
	});

	it('waits as long as Retry-After asks', async () => {
		const script = new Script(problem(429, 'rate_limited', { retryAfter: 0.2 }), json({}));
		const began = performance.now();
		await clientOf(script).usage();
		expect(performance.now() - began).toBeGreaterThan(195);
	});

	it.each([
		['quota_exceeded', 429],
		['internal', 500],
	])('does not repeat %s', async (code, status) => {
		const script = new Script(problem(status, code));
		await expect(clientOf(script).usage()).rejects.toMatchObject({ code });
		expect(script.seen).toHaveLength(1);
	});

	it('says where nothing answers', async () => {
		const client = new Limner({ baseUrl: 'http://127.0.0.1:9', maxTries: 1 });
		await expect(client.usage()).rejects.toThrow(ConnectionError);
		await expect(client.usage()).rejects.toThrow('no gateway answers at http://127.0.0.1:9');
	});

	it('gives up on an answer that does not begin in time', async () => {
		const script = new Script(
			(_seen, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('gone')))),
		);
		const client = new Limner({ baseUrl: 'http://gateway.test', fetch: script.fetch, timeoutMs: 20, maxTries: 1 });
		await expect(client.usage()).rejects.toThrow('no answer within 20 ms');
	});

	it('needs an address outside a page', () => {
		expect(() => new Limner({})).toThrow('baseUrl');
	});

	it('reads the gallery page by page', async () => {
		const script = new Script(
			json({ data: [{ id: 'a' }, { id: 'b' }], nextCursor: 'c1' }),
			json({ data: [{ id: 'c' }], nextCursor: null }),
		);
		const ids: string[] = [];
		for await (const image of clientOf(script).gallery.all({ pageSize: 2 })) ids.push(image.id);
		expect(ids).toEqual(['a', 'b', 'c']);
		expect(script.seen.map(({ path }) => path)).toEqual(['/api/v1/images?limit=2', '/api/v1/images?limit=2&cursor=c1']);
	});
});

describe('events', () => {
	it('resumes a broken stream and delivers each durable event once', async () => {
		const first = event('queued', { rev: 1 }, 1) + event('progress', { step: 1 }) + event('assigned', { rev: 2 }, 2) + 'id: 3\nevent: ima';
		const second = event('assigned', { rev: 2 }, 2) + event('image', { rev: 3 }, 3) + event('succeeded', { rev: 4 }, 4);
		const script = new Script(stream(first, true), stream(second));
		expect((await eventsOf(script)).map((one) => one.id ?? one.event)).toEqual([1, 'progress', 2, 3, 4]);
		expect(script.seen.map(({ headers }) => headers.get('last-event-id'))).toEqual([null, '2']);
	});

	it('opens again after an end that was none', async () => {
		const script = new Script(stream(event('queued', {}, 1)), stream(event('succeeded', {}, 2)));
		expect(await eventsOf(script)).toHaveLength(2);
	});

	it('ends when there is nothing left to read', async () => {
		expect(await eventsOf(new Script(() => new Response(null, { status: 204 })), 4)).toEqual([]);
	});

	it('stops at a refusal', async () => {
		const script = new Script(problem(404, 'not_found'));
		await expect(eventsOf(script)).rejects.toMatchObject({ code: 'not_found' });
		expect(script.seen).toHaveLength(1);
	});

	it('drops a connection that has gone silent', async () => {
		const script = new Script(silent, stream(event('succeeded', {}, 2)));
		const names: string[] = [];
		for await (const one of clientOf(script).jobs.events('job_1', { silenceMs: 30 })) names.push(one.event);
		expect(names).toEqual(['queued', 'succeeded']);
	});

	it('gives up when the gateway stays away', async () => {
		const script = new Script(stream('', true));
		const events = clientOf(script).jobs.events('job_1', { maxTries: 2 });
		await expect(events.next()).rejects.toThrow('kept breaking off');
		expect(script.seen).toHaveLength(2);
	});
});

describe('generate', () => {
	const RUN =
		event('queued', { rev: 1 }, 1) +
		event('position', { position: 2, feasible: true, etaMs: { low: 1, high: 9 } }) +
		event('progress', { index: 0, phase: 'denoising', step: 1, steps: 2 }) +
		event('preview', { index: 0, step: 1, contentType: 'image/jpeg', base64: btoa('jpg') }) +
		event('image', { rev: 2, index: 0, image: { id: 'img_0', index: 0 } }, 2);

	it('uploads inputs, tells progress and previews, and answers the pictures', async () => {
		const done = jobOf('succeeded', { images: [{ id: 'img_0' }] as never });
		const script = new Script(
			json({ id: 'ast_1' }, 201),
			json(jobOf('queued'), 202),
			stream(RUN + event('succeeded', { rev: 3 }, 3)),
			json(done),
		);
		const progress: Progress[] = [];
		const previews: Preview[] = [];
		const arrived: string[] = [];
		const { images, job } = await clientOf(script).images.generate(
			{ prompt: 'p', n: 2, initImage: new Blob([PNG]), strength: 0.5 },
			{ onProgress: (one) => progress.push(one), onPreview: (one) => previews.push(one), onImage: ({ id }) => arrived.push(id) },
		);
		expect(images).toEqual([{ id: 'img_0' }]);
		expect(job.state).toBe('succeeded');
		expect(arrived).toEqual(['img_0']);
		expect(script.seen[0]!.headers.get('content-type')).toBe('image/png');
		expect(JSON.parse(script.seen[1]!.body)).toEqual({ prompt: 'p', n: 2, strength: 0.5, initImage: { asset: 'ast_1' } });
		expect(previews[0]).toMatchObject({ index: 0, step: 1, dataUrl: `data:image/jpeg;base64,${btoa('jpg')}` });
		expect(new TextDecoder().decode(previews[0]!.bytes)).toBe('jpg');
		expect(progress.map((one) => one.phase)).toEqual(['queued', 'queued', 'denoising', 'denoising', 'succeeded']);
		expect(progress.at(-1)).toMatchObject({ fraction: 1, done: 2 });
	});

	it('throws the ended job when it does not succeed', async () => {
		const script = new Script(
			json(jobOf('queued'), 202),
			stream(event('failed', {}, 1)),
			json(jobOf('failed', { error: { class: 'oom', message: 'no memory' } })),
		);
		const error = await clientOf(script)
			.images.generate({ prompt: 'p' })
			.catch((thrown: unknown) => thrown);
		expect(error).toBeInstanceOf(JobFailedError);
		expect(error).toMatchObject({ message: 'no memory', job: { state: 'failed' } });
	});

	it.each(['cancel', 'leave'] as const)('an abort: %s', async (onAbort) => {
		const abort = new AbortController();
		const script = new Script(json(jobOf('queued'), 202), stream(RUN, true), json(jobOf('canceled')));
		const reason = new Error('enough');
		const run = clientOf(script).images.generate({ prompt: 'p' }, { signal: abort.signal, onAbort, onPreview: () => abort.abort(reason) });
		await expect(run).rejects.toBe(reason);
		expect(script.seen.filter(({ path }) => path.endsWith('/cancel'))).toHaveLength(onAbort === 'cancel' ? 1 : 0);
	});

	it('refuses bytes that are no picture before anything is sent', async () => {
		const script = new Script(json({}));
		await expect(clientOf(script).assets.upload(new Uint8Array([1, 2, 3]))).rejects.toThrow('neither PNG');
		expect(script.seen).toHaveLength(0);
	});
});

describe('workflows and accounts', () => {
	it('submits a workflow under one idempotency key, and cancels a job with all that depends on it', async () => {
		const script = new Script(lost, json({ id: 'wf_1' }, 202), json(jobOf('canceled')));
		const client = clientOf(script);
		await client.workflows.submit({ jobs: [{ key: 'a', prompt: 'p' }] });
		await client.jobs.cancel('job_1', { subtree: true });
		expect(script.seen.map(({ method, path }) => `${method} ${path}`)).toEqual([
			'POST /api/v1/workflows',
			'POST /api/v1/workflows',
			'POST /api/v1/jobs/job_1/cancel?subtree=true',
		]);
		expect(script.seen[1]!.headers.get('idempotency-key')).toBe(script.seen[0]!.headers.get('idempotency-key'));
	});

	it('asks again for tokens when the answer to a refresh is lost, but never signs in twice', async () => {
		const script = new Script(lost, json({ accessToken: 'x' }), lost);
		const client = clientOf(script);
		await client.accounts.refresh('lr_1', 'studio');
		expect(script.seen.map(({ body }) => JSON.parse(body))).toEqual(
			Array.from({ length: 2 }, () => ({ grant: 'refresh', refreshToken: 'lr_1', workspaceId: 'studio' })),
		);
		await expect(client.accounts.signIn({ email: 'a@b.c', password: 'p' })).rejects.toBeInstanceOf(ConnectionError);
		expect(script.seen).toHaveLength(3);
	});
});

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { UserError } from '../lib/user-error.ts';
import { call, callRaw, createProgressLine, downloadImage, followJob, submitJob, type JobEvent } from './index.ts';
import { initialProgress, phaseTimes, reduceProgress, type JobProgress } from './progress.ts';
import { renderProgress } from './progress-line.ts';

const servers: Server[] = [];
const serve = async (handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> => {
	const server = createServer(handler);
	servers.push(server);
	await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
	return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
};
afterEach(() => {
	for (const server of servers.splice(0)) {
		server.closeAllConnections();
		server.close();
	}
});

const ID = `job_${'0'.repeat(28)}`;
const view = (state: string): object => ({
	id: ID,
	state,
	createdAt: '2026-01-01T00:00:00.000Z',
	request: {
		task: 'txt2img',
		model: 'm',
		prompt: 'p',
		negativePrompt: null,
		width: 64,
		height: 64,
		steps: 2,
		guidance: 1,
		scheduler: 'ddim',
		seed: 1,
		n: 1,
		pasteBack: true,
		class: 'interactive',
		priority: 5,
		deadlineAt: 1,
	},
	images: [],
	warnings: [],
	history: [],
	links: { self: '/', events: '/', cancel: '/' },
});
const json = (response: ServerResponse, status: number, body: object): void => {
	response.writeHead(status, { 'content-type': 'application/json' });
	response.end(JSON.stringify(body));
};

describe('followJob', () => {
	it('resumes after a cut connection and delivers every durable event exactly once', async () => {
		const asked: (string | undefined)[] = [];
		let ended = false;
		const base = await serve((request, response) => {
			if (!request.url?.endsWith('/events')) return json(response, 200, view(ended ? 'succeeded' : 'running'));
			asked.push(request.headers['last-event-id'] as string | undefined);
			response.writeHead(200, { 'content-type': 'text/event-stream' });
			const connection = asked.length;
			if (connection === 1) {
				response.write('id: 1\nevent: queued\ndata: {"rev":1}\n\nid: 2\nevent: assigned\ndata: {"rev":2}\n\n');
				response.write('event: progress\ndata: {"index":0,"step":1}\n\nid: 3\nevent: ima');
				setTimeout(() => response.destroy(), 20);
				return undefined;
			}
			// A careless server replays one event too many.
			response.write('id: 2\nevent: assigned\ndata: {"rev":2}\n\nid: 3\nevent: image\ndata: {"index":0}\n\n');
			ended = true;
			response.end('id: 4\nevent: succeeded\ndata: {"rev":4}\n\n');
			return undefined;
		});
		const events: JobEvent[] = [];
		const result = await followJob(base, 'k', ID, { onEvent: (event) => events.push(event), random: () => 0.01 });
		expect(result.state).toBe('succeeded');
		expect(asked).toEqual([undefined, '2']);
		expect(events.filter((event) => event.id !== undefined).map((event) => `${event.id} ${event.event}`)).toEqual([
			'1 queued',
			'2 assigned',
			'3 image',
			'4 succeeded',
		]);
	});

	it('does not try again when the key is wrong', async () => {
		let calls = 0;
		const base = await serve((_request, response) => {
			calls++;
			json(response, 401, { type: 'x', title: 'A valid API key is needed', status: 401, code: 'unauthorized' });
		});
		await expect(followJob(base, 'k', ID)).rejects.toThrow('A valid API key is needed');
		expect(calls).toBe(1);
	});
});

describe('submitJob', () => {
	it('repeats with the same idempotency key after 503 and says which field is wrong on 422', async () => {
		const keys: unknown[] = [];
		const base = await serve((request, response) => {
			keys.push(request.headers['idempotency-key']);
			if (keys.length === 1) return json(response, 503, { type: 'x', title: 't', status: 503, code: 'retry_later', retryAfter: 0 });
			return json(response, 202, view('queued'));
		});
		expect((await submitJob(base, 'k', { prompt: 'p' }, { idempotencyKey: 'a' })).id).toBe(ID);
		expect(keys).toEqual(['a', 'a']);
		const refusing = await serve((_request, response) =>
			json(response, 422, {
				type: 'x',
				title: 'A field has a value that is not allowed',
				status: 422,
				code: 'validation_failed',
				errors: [{ pointer: '/steps', detail: 'must be at most 150' }],
			}),
		);
		await expect(submitJob(refusing, 'k', { prompt: 'p', steps: 151 })).rejects.toThrow('/steps: must be at most 150');
		const told = await serve((_request, response) =>
			json(response, 422, {
				type: 'x',
				title: 't',
				status: 422,
				code: 'validation_failed',
				detail: '/steps: must be at most 150',
				errors: [
					{ pointer: '/steps', detail: 'must be at most 150' },
					{ pointer: '/n', detail: 'must be at most 16' },
				],
			}),
		);
		await expect(submitJob(told, 'k', { prompt: 'p', steps: 151, n: 17 })).rejects.toThrow(
			/^\/steps: must be at most 150 \(\/n: must be at most 16\)$/,
		);
	});

	it('says where no gateway answers', async () => {
		await expect(submitJob('http://127.0.0.1:9', 'k', { prompt: 'p' })).rejects.toThrow(
			/No gateway answers at http:\/\/127\.0\.0\.1:9 .*npm start/,
		);
	});
});

describe('downloadImage', () => {
	it('refuses bytes that do not have the promised hash', async () => {
		const base = await serve((_request, response) => response.end('abc'));
		const sha256 = createHash('sha256').update('abc').digest('hex');
		expect(Buffer.from(await downloadImage(base, 'k', { jobId: ID, index: 0, sha256 })).toString()).toBe('abc');
		const wrong = downloadImage(base, 'k', { jobId: ID, index: 0, sha256: '0'.repeat(64) }, AbortSignal.timeout(300));
		await expect(wrong).rejects.toThrow(/damaged|no answer in time/);
	});
});

const drawSteps = (isTTY: boolean): string => {
	let text = '';
	let time = 0;
	const line = createProgressLine({ stream: { write: (part) => (text += part), isTTY }, now: () => (time += 1000) });
	for (let step = 1; step <= 3; step++) line.event({ event: 'progress', data: { index: 0, phase: 'denoising', step, steps: 3 } });
	line.done();
	return text;
};

const step = (index: number, at: number): JobEvent => ({
	event: 'progress',
	data: { index, phase: 'denoising', step: at, steps: 20, itPerS: 2 },
});
/** A job of six pictures after some events. */
const after = (...events: JobEvent[]): JobProgress =>
	events.reduce((state, event) => reduceProgress(state, event, 1), initialProgress(6, 0));

describe('progress', () => {
	it('shows the place, then steps with rate and ETA, and adds up the phases', () => {
		let state = initialProgress(1, 0);
		state = reduceProgress(state, { event: 'position', data: { position: 3, feasible: true, etaMs: { low: 1000, high: 4000 } } }, 10);
		expect(renderProgress(state)).toBe('queued · place 3 · about 4.0 s');
		state = reduceProgress(state, { event: 'assigned', id: 2, data: {} }, 100);
		state = reduceProgress(state, { event: 'loading', data: { index: 0, phase: 'loading', fraction: 0.5 } }, 120);
		expect(renderProgress(state)).toContain('loading');
		state = reduceProgress(state, { event: 'progress', data: { index: 0, phase: 'denoising', step: 5, steps: 10, itPerS: 2.5 } }, 300);
		expect(renderProgress(state)).toMatch(/denoising .*step 5\/10 {2}2\.50 it\/s {2}ETA 2\.0 s/);
		state = reduceProgress(state, { event: 'image', id: 3, data: { index: 0 } }, 900);
		state = reduceProgress(state, { event: 'succeeded', id: 4, data: {} }, 1000);
		expect(phaseTimes(state, 5000)).toEqual({ queued: 100, granted: 20, loading: 180, denoising: 600, uploading: 100 });
	});

	it('counts all steps as made once a picture is decoded or uploaded, though the last ones were not told', () => {
		let state = initialProgress(1, 0);
		state = reduceProgress(state, { event: 'progress', data: { index: 0, phase: 'denoising', step: 14, steps: 20, itPerS: 56 } }, 300);
		state = reduceProgress(
			state,
			{ event: 'progress', data: { index: 0, phase: 'uploading', step: 14, steps: 20, itPerS: 56, etaMs: 100 } },
			400,
		);
		expect(renderProgress(state)).toBe(`uploading [${'█'.repeat(24)}]  step 20/20`);
		state = reduceProgress(state, { event: 'image', data: { index: 0, phase: 'writing' } }, 500);
		expect(renderProgress(state)).toBe(`writing   [${'█'.repeat(24)}]  step 20/20`);
	});

	it('says which pictures are made together, and counts those that come after them', () => {
		const first = [0, 1, 2, 3].map((index) => step(index, 10));
		expect(renderProgress(after(step(0, 10)))).toMatch(/ {2}picture 1\/6 {2}step 10\/20 {2}2\.00 it\/s {2}ETA 55 s$/);
		expect(renderProgress(after(...first, step(0, 11)))).toMatch(/ {2}pictures 1–4\/6 {2}step 10\/20 {2}2\.00 it\/s each {2}ETA 15 s$/);
		const done = [0, 1, 2, 3].map((index) => ({ event: 'image', data: { index } }));
		expect(renderProgress(after(...first, ...done, step(4, 5), step(5, 5)))).toContain('  pictures 5–6/6  step 5/20');
		// on several nodes, any of them may be under way
		expect(renderProgress(after(step(1, 5), step(4, 5)))).toContain('  2 pictures of 6  ');
		expect(renderProgress(after(...first, ...done))).toContain('  picture 4/6  step 10/20');
	});

	it('is not cut off on a terminal that does not know how wide it is', () => {
		let text = '';
		const line = createProgressLine({ stream: { write: (part) => (text += part), isTTY: true, columns: 0 } });
		line.event(step(0, 10));
		expect(text).toContain('step 10/20');
	});

	it('rewrites one line on a terminal and prints whole lines elsewhere', () => {
		expect(drawSteps(true)).not.toContain('\n');
		expect(drawSteps(true)).toContain('step 3/3');
		expect(drawSteps(false).trimEnd().split('\n').length).toBeGreaterThan(0);
		expect(drawSteps(false)).not.toContain('\u001b');
	});
});

describe('one call', () => {
	it('never prints a key that was copied with a line break', async () => {
		const failed = await callRaw('http://127.0.0.1:9', 'lk_main_\nsecret', '/').catch((error: unknown) => error);
		expect(failed).toBeInstanceOf(UserError);
		expect(String(failed)).toMatch(/key or token has a space, a line break/);
		expect(String(failed)).not.toContain('secret');
	});
	it('says in a sentence that no answer came in time', async () => {
		const base = await serve(() => undefined);
		const signal = AbortSignal.timeout(50);
		await expect(call(base, '', '/', { signal })).rejects.toThrow(/No gateway answers at .* \(no answer in time\)/);
		await expect(call(base, '', '/', { signal: AbortSignal.abort() })).rejects.toThrow(/aborted/);
	});
});

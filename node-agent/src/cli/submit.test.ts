import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fakeSpec } from '../node/fake-gateway.test-lib.ts';
import { runLimner, type Ran } from './run.test-lib.ts';

const ID = `job_${'0'.repeat(28)}`;
const ASSET = `asset_${'0'.repeat(26)}`;
const PICTURE = Buffer.from('the picture');
const PNG = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

let folder = '';
let server: Server;
let url = '';
/** What the fake gateway saw: method, path, body. */
let seen: { call: string; body: Buffer; headers: IncomingMessage['headers'] }[] = [];
let finalState: 'succeeded' | 'failed' = 'succeeded';

const view = (state: string): object => ({
	id: ID,
	state,
	createdAt: '2026-01-01T00:00:00.000Z',
	request: fakeSpec(),
	images:
		state === 'succeeded'
			? [
					{
						id: 'img',
						index: 0,
						seed: 5,
						width: 64,
						height: 64,
						contentType: 'image/png',
						bytes: PICTURE.length,
						sha256: createHash('sha256').update(PICTURE).digest('hex'),
						url: `${url}/signed`,
						expiresAt: '2026-01-01T00:00:00.000Z',
					},
				]
			: [],
	warnings: state === 'succeeded' ? ['The model never learnt: spaceship.'] : [],
	...(state === 'failed' ? { error: { class: 'engine', message: 'The engine broke.' } } : {}),
	history: [],
	links: { self: '/', events: '/', cancel: '/' },
});

const answer = (call: string, response: ServerResponse): void => {
	const json = (status: number, body: object): void => {
		response.writeHead(status, { 'content-type': 'application/json' });
		response.end(JSON.stringify(body));
	};
	if (call === 'POST /api/v1/jobs') return json(202, view('queued'));
	if (call === 'POST /api/v1/assets') return json(201, { id: ASSET });
	if (call.endsWith('/images/0')) return void response.end(PICTURE);
	if (!call.endsWith('/events')) return json(200, view(finalState));
	response.writeHead(200, { 'content-type': 'text/event-stream' });
	response.write('id: 1\nevent: queued\ndata: {}\n\nevent: position\ndata: {"position":2,"feasible":true}\n\n');
	response.write(
		'id: 2\nevent: assigned\ndata: {}\n\nevent: progress\ndata: {"index":0,"phase":"denoising","step":2,"steps":4,"itPerS":1}\n\n',
	);
	return void response.end(`id: 3\nevent: ${finalState}\ndata: {}\n\n`);
};

beforeEach(async () => {
	folder = mkdtempSync(join(tmpdir(), 'limner-submit-'));
	seen = [];
	finalState = 'succeeded';
	server = createServer((request, response) => {
		const chunks: Buffer[] = [];
		request.on('data', (chunk: Buffer) => chunks.push(chunk));
		request.on('end', () => {
			const call = `${request.method} ${request.url}`;
			seen.push({ call, body: Buffer.concat(chunks), headers: request.headers });
			answer(call, response);
		});
	});
	await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
	url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
	server.closeAllConnections();
	server.close();
	rmSync(folder, { recursive: true, force: true });
});

const submit = async (...args: string[]): Promise<Ran> =>
	runLimner(folder, ['submit', ...args], { LIMNER_URL: url, LIMNER_API_KEY: 'lk_main_x' });

describe('limner submit', () => {
	it('submits once, follows, checks and writes the picture, and repeats the notes', async () => {
		const ran = await submit('--prompt', 'a tower', '--steps', '4', '--out', 'a/b.png');
		expect(ran.code, ran.err).toBe(0);
		expect(ran.out).toBe(`${join(folder, 'a/b.png')}  64×64, seed 5\n`);
		expect(readFileSync(join(folder, 'a/b.png')).equals(PICTURE)).toBe(true);
		expect(ran.err).toMatch(/place 2/);
		expect(ran.err).toMatch(/step 2\/4/);
		expect(ran.err).toMatch(/note: The model never learnt: spaceship/);
		const post = seen.find((one) => one.call === 'POST /api/v1/jobs');
		expect(JSON.parse(post?.body.toString() ?? '')).toEqual({ prompt: 'a tower', steps: 4 });
		expect(post?.headers).toMatchObject({
			authorization: 'Bearer lk_main_x',
			'idempotency-key': expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
		});
	});

	it('uploads the pictures that a job starts from', async () => {
		writeFileSync(join(folder, 'init.png'), PNG);
		writeFileSync(join(folder, 'mask.txt'), 'no picture');
		expect((await submit('--prompt', 'x', '--init', 'init.png', '--strength', '0.5', '--no-wait')).out).toBe(`${ID}\n`);
		expect(seen.map((one) => one.call)).toEqual(['POST /api/v1/assets', 'POST /api/v1/jobs']);
		expect(seen[0]?.headers['content-type']).toBe('image/png');
		expect(seen[0]?.body.equals(PNG)).toBe(true);
		expect(JSON.parse(seen[1]?.body.toString() ?? '')).toEqual({ prompt: 'x', strength: 0.5, initImage: { asset: ASSET } });
		const bad = await submit('--prompt', 'x', '--init', 'init.png', '--mask', 'mask.txt');
		expect(bad).toMatchObject({ code: 1, err: expect.stringMatching(/mask\.txt is not a PNG, JPEG or WebP picture/) as string });
	});

	it('ends with the reason when the job fails', async () => {
		finalState = 'failed';
		const ran = await submit('--prompt', 'x');
		expect(ran).toMatchObject({ code: 1, out: '' });
		expect(ran.err).toContain(`limner: The job ${ID} is failed: The engine broke.\n`);
	});
});

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { JobRequest } from '@limner/shared';
import { Command } from 'commander';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { takeLock } from '../lib/process-lock.ts';
import { JobEntry } from '../local/jobs-file.ts';
import { readRecord } from '../png/record.ts';
import { mask } from './config.ts';
import { checkNode, judgeDisk } from '../doctor/checks.ts';
import { explain } from './main.ts';
import { shortTime } from '../lib/words.ts';
import { numberedFile, timesLine } from './output.ts';
import { byteSize, decimal, duration, gatewayAddress, oneOf, pairOf, schedulerName, whole } from './parse.ts';
import { prune } from './prune.ts';
import { addQueueFlags, addRequestFlags, taskOf, toJobRequest } from './request-flags.ts';
import { runLimner, type Ran } from './run.test-lib.ts';
import { StatusLine } from './status-line.ts';
import { DEFAULT_MODEL } from '../models/embedded.ts';
import { nativePx } from '../models/embedded.test-lib.ts';

const SIDE = nativePx();

const MODELS = fileURLToPath(new URL('../../../tests/reference/models', import.meta.url));
const EMBEDDED = fileURLToPath(new URL('../../../models', import.meta.url));
const KEY = `lk_main_abcd1234_${'s'.repeat(52)}`;

let folder = '';
const servers: Server[] = [];
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'limner-cli-'));
});
afterEach(() => {
	for (const server of servers.splice(0)) {
		server.closeAllConnections();
		server.close();
	}
	rmSync(folder, { recursive: true, force: true });
});

const limner = async (args: string[], env: Record<string, string> = {}): Promise<Ran> => runLimner(folder, args, env);

const writeJobs = (value: unknown): void => writeFileSync(join(folder, 'j.json'), JSON.stringify(value));

const serve = async (handler: (path: string, auth: string | undefined) => [number, object]): Promise<string> => {
	const server = createServer((request, response) => {
		request.resume();
		const [status, body] = handler(request.url ?? '', request.headers.authorization);
		response.writeHead(status, { 'content-type': 'application/json' });
		response.end(JSON.stringify(body));
	});
	servers.push(server);
	await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
	return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
};

describe('mistakes', () => {
	it.each([
		[['nonsense'], 2, /limner: unknown command 'nonsense'/],
		[['generate'], 2, /limner: Say what to draw with --prompt/],
		[['generate', '--prompt', 'x', '--steps', '151'], 2, /--steps .*whole number from 1 to 150/],
		[['generate', '--prompt', 'x', '--width', '65'], 2, /--width /],
		[['generate', '--prompt', 'x', '--mask', 'm.png'], 2, /A mask needs the picture/],
		[['generate', '--prompt', 'x', '--init', 'nope.png'], 1, /There is no file .*nope\.png; check the path after --init/],
		[['generate', '--prompt', 'x', '--model', 'nope'], 1, /There is no model "nope"/],
		[['generate', '--prompt', 'x', '--device', 'toaster'], 2, /There is no device "toaster"; choose auto, or one or more of cuda/],
		[['generate', '--jobs', 'nope.json'], 1, /nope\.json cannot be read \(ENOENT\)/],
		[['submit', '--prompt', 'x'], 1, /There is no API key; run `limner login`/],
		[['node', '--gateway', 'http://127.0.0.1:9', '--engine', 'mock', '--state-dir', 's'], 1, /no valid certificate .*--token/],
		[
			['node', '--gateway', 'http://127.0.0.1:9', '--token', 't', '--engine', 'mock', '--state-dir', 's'],
			1,
			/No gateway answers at http:\/\/127\.0\.0\.1:9/,
		],
		[['node', '--gateway', 'nonsense'], 2, /It must be an address like/],
		[['node', '--slots', '17'], 2, /whole number from 1 to 16/],
		[['up', '--slots', '0'], 2, /whole number from 1 to 16/],
		[['demo', '--n', '17'], 2, /whole number from 1 to 16/],
		[['demo', '--steps', '0'], 2, /whole number from 1 to 150/],
		[['node', '--models', 'empty', '--state-dir', 's'], 1, /There is no model in .*empty; give a folder of models/],
		[['login', '--key', 'nonsense'], 1, /That is not an API key/],
		[['prune', '--state-dir', 'nope'], 1, /There is no state folder/],
	])('%j ends with code %i and one sentence', async (args, code, sentence) => {
		const ran = await limner(args);
		expect(ran.err).toMatch(sentence);
		expect(ran.err).not.toMatch(/\n\s+at /);
		expect(ran.code).toBe(code);
	});

	it('shows the trace of a mistake only when asked', async () => {
		const ran = await limner(['generate', '--prompt', 'x', '--model', 'nope'], { LIMNER_DEBUG: '1' });
		expect(ran.err).toMatch(/\n\s+at /);
	});

	it('explains a full disk and an unexpected error', () => {
		expect(explain(Object.assign(new Error('write'), { code: 'ENOSPC' }))).toEqual({
			sentence: expect.stringContaining('disk is full') as string,
			code: 1,
		});
		expect(explain(new TypeError('x is undefined')).sentence).toContain('LIMNER_DEBUG=1');
	});
});

describe('limner generate', () => {
	it('makes the same bytes twice and keeps the request in them', async () => {
		const flags = ['generate', '--prompt', 'a red castle', '--negative', 'fog', '--seed', '7', '--steps', '2', '--n', '2'];
		const first = await limner([...flags, '--out', 'a.png']);
		expect(first.code, first.err).toBe(0);
		await limner([...flags, '--out', 'b.png']);
		for (const index of [0, 1]) {
			const bytes = readFileSync(join(folder, `a.${index}.png`));
			expect(bytes.equals(readFileSync(join(folder, `b.${index}.png`)))).toBe(true);
			expect(readRecord(bytes).record).toMatchObject({
				seed: 7 + index,
				request: { prompt: 'a red castle', negativePrompt: 'fog', steps: 2 },
			});
		}
		expect(first.out).toMatch(new RegExp(`a\\.0\\.png {2}${SIDE}×${SIDE}, seed 7\\n.*a\\.1\\.png {2}${SIDE}×${SIDE}, seed 8\\n`));
	});

	it('starts from a picture, repaints behind a mask and puts the rest back', async () => {
		const source = await sharp({ create: { width: SIDE, height: SIDE, channels: 3, background: '#3060c0' } })
			.png()
			.toBuffer();
		writeFileSync(join(folder, 'init.png'), source);
		const half = Buffer.alloc(SIDE * SIDE, 0).fill(255, 0, (SIDE * SIDE) / 2);
		writeFileSync(
			join(folder, 'mask.png'),
			await sharp(half, { raw: { width: SIDE, height: SIDE, channels: 1 } })
				.png()
				.toBuffer(),
		);
		const ran = await limner([
			'generate',
			'--prompt',
			'a tower',
			'--seed',
			'1',
			'--steps',
			'2',
			'--init',
			'init.png',
			'--mask',
			'mask.png',
			'--out',
			'o.png',
		]);
		expect(ran.code, ran.err).toBe(0);
		const out = await sharp(join(folder, 'o.png')).removeAlpha().raw().toBuffer();
		const lower = out.subarray(SIDE * Math.floor(SIDE * 0.8) * 3);
		expect(lower.equals(Buffer.concat(Array.from({ length: lower.length / 3 }, () => Buffer.from([0x30, 0x60, 0xc0]))))).toBe(true);
		expect(out.subarray(0, SIDE * 20 * 3).equals(lower.subarray(0, SIDE * 20 * 3))).toBe(false);
		expect(readRecord(readFileSync(join(folder, 'o.png'))).record?.request).toMatchObject({
			task: 'inpaint',
			initImageSha256: createHash('sha256').update(source).digest('hex'),
		});
	});

	it('runs a file of requests, goes on after a bad one, and says how many failed', async () => {
		const common = { model: 'sd-1.5', steps: 2, guidance: 7.5, width: 64, height: 64, schedulerConfig: { sigma: '-Infinity' } };
		const jobs = [
			{ id: 'one', prompt: 'a', seed: 1, ...common },
			{ id: 'two', prompt: 'b', seed: 2, n: 2, ...common },
			{ id: 'bad', prompt: 'c', ...common, model: 'nope' },
		];
		mkdirSync(join(folder, 'in'));
		writeFileSync(join(folder, 'in', 'jobs.json'), JSON.stringify(jobs).replace('"-Infinity"', '-Infinity'));
		const ran = await limner(['generate', '--jobs', 'in/jobs.json', '--models', MODELS, '--out-dir', 'out', '--save-latents']);
		expect(ran.code).toBe(1);
		expect(ran.err).toMatch(/bad: There is no model "nope"/);
		expect(ran.err).toMatch(/2 of 3 requests/);
		expect(['one.png', 'two.0.png', 'two.1.png'].every((file) => existsSync(join(folder, 'out', file)))).toBe(true);
		expect(statSync(join(folder, 'out', 'one.latents.f32')).size).toBe(4 * 8 * 8 * 4);
		expect(statSync(join(folder, 'out', 'two.latents.f32')).size).toBe(2 * 4 * 8 * 8 * 4);
	});

	it('names what is wrong in a file of requests', async () => {
		writeJobs([{ id: 'a', prompt: 'x', steps: 0 }]);
		expect((await limner(['generate', '--jobs', 'j.json'])).err).toMatch(/Request 0 of .*j\.json: steps /);
		writeJobs([{ id: '../a', prompt: 'x' }]);
		expect((await limner(['generate', '--jobs', 'j.json'])).err).toMatch(/Request 0 of .*id must be letters/);
		writeJobs({});
		expect((await limner(['generate', '--jobs', 'j.json'])).err).toMatch(/must hold a JSON array/);
	});
});

describe('limner models', () => {
	it('lists what works and says what is broken, one sentence each', async () => {
		mkdirSync(join(folder, 'store', 'broken'), { recursive: true });
		writeFileSync(
			join(folder, 'store', 'broken', 'model_index.json'),
			'{"_class_name":"StableDiffusionPipeline","unet":["diffusers","x"]}',
		);
		const ran = await limner(['models', 'list', '--models', join(MODELS, 'lcm'), '--models', 'store']);
		expect(ran.code).toBe(0);
		expect(ran.out).toMatch(/^lcm {2}/);
		expect(ran.err.trim().split('\n')).toHaveLength(1);
		expect(ran.err).toMatch(/limner: The model in .*broken cannot be used: /);
	});
	it('verifies a model in a process of its own', async () => {
		const ran = await limner(['models', 'verify', 'lcm', '--models', MODELS]);
		expect(ran.out).toMatch(/lcm {2}works: loaded in .*sha256 [0-9a-f]{64}/);
		expect(ran.code).toBe(0);
	});
	it('verifies a model that does nothing but repaint', async () => {
		const ran = await limner(['models', 'verify', 'storybook-inpaint', '--models', EMBEDDED]);
		expect(ran.out).toMatch(/storybook-inpaint {2}works: loaded in /);
		expect(ran.code).toBe(0);
	});
});

describe('limner login, config, keys', () => {
	it('keeps a key that works, for its owner only, and later commands use it', async () => {
		const url = await serve((_path, auth) =>
			auth === `Bearer ${KEY}`
				? [200, { data: [], nextCursor: null }]
				: [401, { type: 'x', title: 't', status: 401, code: 'unauthorized' }],
		);
		const wrong = await limner(['login', '--url', url, '--key', KEY.replace('s', 'x')]);
		expect(wrong).toMatchObject({ code: 1, err: expect.stringContaining('does not know this key') as string });
		const ran = await limner(['login', '--url', url, '--key', KEY]);
		expect(ran.code, ran.err).toBe(0);
		const file = join(folder, '.config', 'limner', 'config.json');
		expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ url, apiKey: KEY });
		expect(statSync(file).mode & 0o777).toBe(0o600);
		const config = await limner(['config']);
		expect(config.out).toMatch(new RegExp(`^url +LIMNER_URL +${url} +limner login$`, 'm'));
		expect(config.out).toMatch(/^apiKey +LIMNER_API_KEY +lk_main_••• +limner login$/m);
		expect(config.out).not.toContain('sssss');
	});

	it('takes what is nearest: environment, .env, limner.config.json', async () => {
		writeFileSync(join(folder, '.env'), 'LIMNER_URL=http://env-file:1\nLIMNER_NODE_NAME=from-env-file\n');
		writeFileSync(join(folder, 'limner.config.json'), '{"url":"http://json:1","name":"json","resultTtl":"12h"}');
		const { out } = await limner(['config', '--json'], { LIMNER_URL: 'http://environment:1/' });
		const rows = JSON.parse(out) as { key: string; value: unknown; from: string }[];
		const row = (key: string) => rows.find((candidate) => candidate.key === key);
		expect(row('url')).toMatchObject({ value: 'http://environment:1', from: 'the environment' });
		expect(row('name')).toMatchObject({ value: 'from-env-file', from: '.env' });
		expect(row('resultTtl')).toMatchObject({ value: '12h', from: 'limner.config.json' });
		expect(row('logLevel')).toMatchObject({ value: 'info', from: 'default' });
	});

	it('names a wrong setting, where it stands and what is allowed', async () => {
		expect((await limner(['config'], { LIMNER_LOG_LEVEL: 'loud' })).err).toMatch(
			/LIMNER_LOG_LEVEL="loud" in the environment is not allowed/,
		);
		expect((await limner(['demo'], { LOG_LEVEL: 'loud' })).err).toMatch(
			/LOG_LEVEL="loud" in the environment is not allowed: choose one of debug, info, warn, error and silent/,
		);
		writeFileSync(join(folder, 'limner.config.json'), '{"shards":0}');
		expect((await limner(['config'])).err).toMatch(/shards=0 in limner\.config\.json is not allowed/);
		for (const [ttl, allowed] of [
			['1ms', true],
			['36525d', true],
			['0d', false],
			['36526d', false],
			['soon', false],
		] as const) {
			writeFileSync(join(folder, 'limner.config.json'), JSON.stringify({ resultTtl: ttl }));
			expect((await limner(['config'])).code, ttl).toBe(allowed ? 0 : 1);
		}
		writeFileSync(join(folder, 'limner.config.json'), '{"shard":1}');
		expect((await limner(['config'])).err).toMatch(/has a setting "shard" that does not exist; there are: url,/);
		writeFileSync(join(folder, 'limner.config.json'), '{');
		expect(await limner(['config'])).toMatchObject({ code: 1, err: expect.stringContaining('is not valid JSON') as string });
	});

	it('makes a key and its hash', async () => {
		const { out } = await limner(['keys', 'new', '--workspace', 'atelier']);
		const key = /lk_atelier_\S+/.exec(out)?.[0] ?? '';
		expect(out).toContain(createHash('sha256').update(key).digest('hex'));
		expect((await limner(['keys', 'new', '--workspace', 'No_Such'])).code).toBe(2);
	});
});

describe('limner doctor', () => {
	it('finds everything in order but the gateway, and says how to get one', async () => {
		const ran = await limner(['doctor', '--state-dir', 'state', '--url', 'http://127.0.0.1:9']);
		expect(ran.code, ran.out).toBe(0);
		expect(ran.out).toMatch(new RegExp(`✓ inference {2}${DEFAULT_MODEL} in`));
		expect(ran.out).toMatch(/! gateway {4}No gateway answers[^\n]*\n {2}→ start it/);
	});
	it('judges versions and disks at their bounds', () => {
		expect(checkNode('20.20.0').state).toBe('ok');
		expect(checkNode('20.19.9').state).toBe('bad');
		expect(checkNode('24.0.0').state).toBe('ok');
		expect(judgeDisk('/', 2 * 1024 ** 3).state).toBe('ok');
		expect(judgeDisk('/', 2 * 1024 ** 3 - 1)).toMatchObject({ state: 'note', fix: expect.any(String) as string });
		expect(judgeDisk('/', 1024).state).toBe('bad');
	});
});

describe('prune', () => {
	it('removes logs, temporary files and expired pictures, and keeps a picture that can still be uploaded', async () => {
		for (const name of ['tmp', 'outbox']) mkdirSync(join(folder, name));
		for (const name of ['node.log', 'tmp/x', 'node.json']) writeFileSync(join(folder, name), 'x');
		const day = 24 * 60 * 60 * 1000;
		const now = Date.now();
		for (const [index, createdAt] of [now - day - 1, now - day].entries()) {
			const record = {
				version: 1,
				jobId: 'j',
				index,
				epoch: 1,
				ticket: 't',
				contentType: 'image/png',
				bytes: 1,
				sha256: '',
				meta: '',
				createdAt,
			};
			writeFileSync(join(folder, 'outbox', `j-${index}-1.json`), JSON.stringify(record));
			writeFileSync(join(folder, 'outbox', `j-${index}-1.bin`), 'x');
		}
		const dry = await prune(folder, { all: false, dryRun: true, now });
		expect(dry.map((item) => item.what)).toEqual(['tmp', 'node.log', 'picture 0 of j']);
		expect(existsSync(join(folder, 'tmp', 'x'))).toBe(true);
		expect(await prune(folder, { all: false, dryRun: false, now })).toEqual(dry);
		expect(existsSync(join(folder, 'tmp'))).toBe(false);
		expect(existsSync(join(folder, 'outbox', 'j-1-1.bin'))).toBe(true);
		expect(existsSync(join(folder, 'node.json'))).toBe(true);
		expect((await prune(folder, { all: true, dryRun: false, now })).map((item) => item.what)).toEqual(['picture 1 of j']);
		expect(takeLock(join(folder, 'node.pid')).ok).toBe(true);
		await expect(prune(folder, { all: false, dryRun: false, now })).rejects.toThrow(/stop it first/);
	});
});

describe('values of flags', () => {
	it('takes bounds and refuses one past them', () => {
		expect([whole(1, 5)('1'), whole(1, 5)('5')]).toEqual([1, 5]);
		for (const bad of ['0', '6', '1.5', '', 'x', '1e99']) expect(() => whole(1, 5)(bad)).toThrow('whole number from 1 to 5');
		expect(decimal(0, 1)('0.5')).toBe(0.5);
		for (const bad of ['-0.1', '1.1', '', 'NaN']) expect(() => decimal(0, 1)(bad)).toThrow('number from 0 to 1');
		expect([byteSize('20GB'), byteSize('1.5 GiB'), byteSize('2097152')]).toEqual([20 * 1024 ** 3, 1.5 * 1024 ** 3, 2 * 1024 ** 2]);
		for (const bad of ['0', 'x', '5 apples', '-1GB']) expect(() => byteSize(bad)).toThrow('like 20GB');
		expect(schedulerName('DPM++ 2M Karras')).toBe('dpmpp_2m_karras');
		expect(() => schedulerName('x')).toThrow('not a scheduler');
		expect(gatewayAddress('https://a.b/')).toBe('https://a.b');
		expect(() => gatewayAddress('ftp://a')).toThrow('address like');
		expect(() => oneOf('a', 'b')('c')).toThrow('Choose one of a, b');
	});
	it('takes pairs and times, and refuses what is neither', () => {
		expect([pairOf('x')('1024x768'), pairOf(',')('0,64'), pairOf('x')('8×16')]).toEqual([
			[768, 1024],
			[64, 0],
			[16, 8],
		]);
		for (const bad of ['1024', '1,2', 'x', '-1x2', '1x2x3']) expect(() => pairOf('x')(bad)).toThrow('like 1024x768');
		expect([duration(1000, 3_600_000)('90s'), duration(1000, 3_600_000)('1h'), duration(1000, 3_600_000)('1s')]).toEqual([
			90_000, 3_600_000, 1000,
		]);
		for (const bad of ['999ms', '61m', '5', 's', '-1s']) expect(() => duration(1000, 3_600_000)(bad)).toThrow('from 1s to 1h');
	});
	it('has a flag for every field of a request', () => {
		const flags = new Set(addQueueFlags(addRequestFlags(new Command())).options.map((option) => option.attributeName()));
		const renamed: Record<string, string> = {
			negativePrompt: 'negative',
			deadlineMs: 'deadline',
			labels: 'label',
			initImage: 'init',
			maskImage: 'mask',
		};
		for (const field of Object.keys(JobRequest.shape).filter((name) => name !== 'taskType'))
			expect(flags, field).toContain(renamed[field] ?? field);
		const local = new Set(addRequestFlags(new Command()).options.map((option) => option.attributeName()));
		for (const field of Object.keys(JobEntry.shape).filter((name) => name !== 'id'))
			expect(local, field).toContain(renamed[field] ?? field);
	});
	it('reads the task out of the pictures given', () => {
		expect(taskOf({})).toBe('txt2img');
		expect(taskOf({ init: 'a' })).toBe('img2img');
		expect(taskOf({ init: 'a', mask: 'b' })).toBe('inpaint');
		const sizes = ['--original-size', '1024x768', '--crop-top-left', '0,64', '--target-size', '64x48', '--no-use-t5'];
		expect(
			toJobRequest(
				addRequestFlags(new Command())
					.parse(['--prompt', 'p', ...sizes], { from: 'user' })
					.opts(),
			),
		).toEqual({
			prompt: 'p',
			originalSize: [768, 1024],
			cropTopLeft: [64, 0],
			targetSize: [48, 64],
			useT5: false,
		});
		expect(toJobRequest({ prompt: 'p', negative: 'n', pasteBack: false, init: 'a' })).toEqual({
			prompt: 'p',
			negativePrompt: 'n',
			pasteBack: false,
		});
	});
	it('shows files, times and secrets the same way everywhere', () => {
		expect(numberedFile('/a/b.png', 0, 1)).toBe('/a/b.png');
		expect(numberedFile('/a/b.png', 2, 3)).toBe('/a/b.2.png');
		expect([shortTime(999.4), shortTime(1500)]).toEqual(['999 ms', '1.5 s']);
		expect(timesLine({ loadMs: 5, denoiseMs: 2000 })).toBe('load 5 ms, denoise 2.0 s');
		expect(mask('short')).toBe('•••');
	});
});

describe('StatusLine', () => {
	const base = {
		name: 'n',
		gateway: 'g',
		link: 'online',
		problem: '',
		mode: 'active',
		modeReason: '',
		rest: '',
		reason: '',
		slots: 1,
	} as const;
	const rest = { running: [], uploads: 0, uploadProblem: '', trouble: '', failed: 0, stopping: false };
	it('prints whole lines on changes only, and rewrites one line on a terminal', async () => {
		let plain = '';
		const line = new StatusLine({ write: (text) => (plain += text) });
		for (const done of [0, 1, 2]) line.update({ ...base, ...rest, done });
		line.update({ ...base, ...rest, done: 2, reason: 'no jobs' });
		line.end();
		expect(plain).toBe('n · online · waiting for work · 0 done\nn · online · no jobs · 2 done\n');
		let tty = '';
		const drawn = new StatusLine({ write: (text) => (tty += text), isTTY: true, columns: 30 });
		drawn.update({ ...base, ...rest, done: 0 });
		drawn.note('hello');
		drawn.update({ ...base, ...rest, done: 7 });
		await new Promise((resolve) => setTimeout(resolve, 300));
		drawn.end();
		expect(tty).toContain('hello\n');
		expect(tty.split('\u001b[2K').every((part) => part.replaceAll(/[\r\n]/g, '').length < 30)).toBe(true);
		expect(tty.endsWith('\n')).toBe(true);
	});
});

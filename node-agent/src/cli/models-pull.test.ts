import { spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CATALOG, recommend } from '../models/catalog.ts';
import { readTree, startHub, type TestHub } from '../models/hub-server.test-lib.ts';
import { createPullLine, inWords, renderPull } from './pull-line.ts';
import { runLimner, type Ran } from './run.test-lib.ts';

const LCM = join(import.meta.dirname, '../../../tests/reference/models/lcm');
const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

let folder = '';
const closers: (() => void)[] = [];
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'limner-models-'));
});
afterEach(() => {
	for (const close of closers.splice(0)) close();
	rmSync(folder, { recursive: true, force: true });
});

const startLcm = async (extraBytes = 0, bytesPerS?: number): Promise<TestHub> => {
	const files = readTree(LCM);
	if (extraBytes > 0) files.set('unet/model.onnx_data', randomFillSync(Buffer.alloc(extraBytes)));
	const hub = await startHub('painter/little-lcm', files, bytesPerS === undefined ? {} : { bytesPerS });
	closers.push(hub.close);
	return hub;
};

const environment = (url: string): Record<string, string> => ({ HF_ENDPOINT: url, HF_HOME: join(folder, 'hf'), HF_TOKEN: '' });
const limner = (url: string, ...args: string[]): Promise<Ran> => runLimner(folder, args, environment(url));

describe('limner models pull', () => {
	it('brings a model that list, verify, generate and remove know', async () => {
		const { url } = await startLcm();
		const pulled = await limner(url, 'models', 'pull', 'painter/little-lcm');
		expect(pulled).toMatchObject({ code: 0, out: expect.stringMatching(/^little-lcm {2}sd, txt2img, img2img, inpaint/) as string });
		expect(pulled.err).toMatch(/commit c0ffeec0ffee: \d+ files, \d+ KiB; licence: openrail\+\+/);
		expect(pulled.err).toContain('limner generate --model little-lcm --prompt');

		expect((await limner(url, 'models', 'list')).out).toMatch(/little-lcm .*\n.*\n.*from painter\/little-lcm@c0ffeec0ffee/);
		const made = await limner(url, 'generate', '--model', 'little-lcm', '--prompt', 'a boat', '--steps', '1', '--out', 'boat.png');
		expect(made.code, made.err).toBe(0);
		expect(readFileSync(join(folder, 'boat.png')).subarray(1, 4).toString()).toBe('PNG');

		writeFileSync(join(folder, '.state', 'limner', 'node', 'models', 'little-lcm', 'tokenizer', 'vocab.json'), '{}');
		const damaged = await limner(url, 'models', 'verify', 'little-lcm');
		expect(damaged).toMatchObject({ code: 1, out: expect.stringContaining('1 of its files are not what the hub has') as string });
		expect(damaged.err).toMatch(/vocab\.json is damaged.*limner models pull painter\/little-lcm@c0ffee/);
		await limner(url, 'models', 'pull', 'painter/little-lcm');
		expect((await limner(url, 'models', 'verify', 'little-lcm')).out).toContain('works: loaded in');

		expect((await limner(url, 'models', 'remove', 'little-lcm')).out).toMatch(/little-lcm {2}removed, \d+ KiB freed/);
		expect((await limner(url, 'models', 'list')).out).not.toContain('little-lcm');
	});

	it('takes in a folder', async () => {
		const imported = await limner('http://127.0.0.1:9', 'models', 'import', LCM, '--name', 'mine', '--models', 'store');
		expect(imported).toMatchObject({ code: 0, out: expect.stringMatching(/^mine {2}sd/) as string });
		expect((await limner('http://127.0.0.1:9', 'models', 'list', '--models', 'store')).out).toContain('imported from');
		expect((await limner('http://127.0.0.1:9', 'models', 'remove', 'mine', '--models', 'store')).code).toBe(0);
	});

	it('goes through the proxy of the environment, and not where NO_PROXY says', async () => {
		const { url } = await startLcm();
		const seen: string[] = [];
		const proxy = createServer((request, response) => {
			seen.push(request.url ?? '');
			const target = new URL(request.url ?? '');
			request.pipe(
				httpRequest(target, { headers: request.headers }, (answer) => {
					response.writeHead(answer.statusCode ?? 502, answer.headers);
					answer.pipe(response);
				}),
			);
		});
		await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
		closers.push(() => (proxy.closeAllConnections(), proxy.close()));
		const HTTP_PROXY = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
		const ran = await runLimner(folder, ['models', 'pull', 'painter/little-lcm'], { ...environment(url), HTTP_PROXY, NO_PROXY: '' });
		expect(ran.code, ran.err).toBe(0);
		expect(seen[0]).toBe(`${url}/api/models/painter/little-lcm/revision/main`);
		seen.length = 0;
		await runLimner(folder, ['models', 'pull', 'painter/little-lcm', '--name', 'b'], {
			...environment(url),
			HTTP_PROXY,
			NO_PROXY: '127.0.0.1',
		});
		expect(seen).toEqual([]);
	});

	it('goes on after the process was killed', async () => {
		const hub = await startLcm(16 * MIB, 8 * MIB);
		const args = [join(import.meta.dirname, 'main.ts'), 'models', 'pull', 'painter/little-lcm', '--models', join(folder, 'store')];
		const child = spawn(process.execPath, args, { env: { ...process.env, ...environment(hub.url) }, stdio: 'ignore' });
		const ended = new Promise((resolve) => child.once('exit', resolve));
		while (hub.served() < 8 * MIB) await new Promise((resolve) => setTimeout(resolve, 20));
		child.kill('SIGKILL');
		await ended;
		delete hub.faults.bytesPerS;
		hub.requests.length = 0;
		const again = await limner(hub.url, 'models', 'pull', 'painter/little-lcm', '--models', 'store');
		expect(again.code, again.err).toBe(0);
		expect(again.err).toMatch(/of it here already/);
		const resumed = hub.requests.find(({ path, host }) => path.endsWith('onnx_data') && host === 'store');
		expect(Number(/^bytes=(\d+)-/.exec(resumed?.range ?? '')?.[1])).toBeGreaterThan(2 * MIB);
	});

	it.each([
		[['models', 'pull', 'no model'], /"no model" names no model; give it as owner\/name/],
		[['models', 'pull', 'a/b', '--models', LCM], /is a model itself; give a folder that holds models/],
		[['models', 'remove', 'x'], /There is no model "x"/],
		[['models', 'pull', 'painter/other'], /has no model painter\/other that you may see/],
	])('tells %j', async (args, sentence) => {
		const { url } = await startLcm();
		const ran = await limner(url, ...args);
		expect(ran.code).toBe(1);
		expect(ran.err).toMatch(sentence);
	});
});

describe('limner models catalog', () => {
	it('recommends one model that fits', async () => {
		const ran = await limner('http://127.0.0.1:9', 'models', 'catalog');
		expect(ran.code).toBe(0);
		expect(ran.out.match(/^For you: /gm)).toHaveLength(1);
		const json = JSON.parse((await limner('http://127.0.0.1:9', 'models', 'catalog', '--json')).out) as {
			models: object[];
			recommended: string;
		};
		expect(json.models).toHaveLength(CATALOG.length);
		expect(ran.out).toContain(`For you: ${json.recommended}:`);
		// what cannot be pulled comes with the command that exports it
		expect(ran.out).toContain('optimum-cli export onnx --model SimianLuo/LCM_Dreamshaper_v7 LCM_Dreamshaper_v7 && limner models import');
		expect(ran.out).not.toContain('models pull SimianLuo');
	});
	it.each([
		[{ ramBytes: 2 * GIB, diskFreeBytes: 500 * GIB }, 'storybook'],
		[{ ramBytes: 64 * GIB, diskFreeBytes: GIB }, 'storybook'],
		[{ ramBytes: 64 * GIB, diskFreeBytes: 500 * GIB }, 'amd/stable-diffusion-1.5_io32_amdgpu'],
		[{ gpuBytes: 6 * GIB, ramBytes: 16 * GIB, diskFreeBytes: 500 * GIB }, 'amd/stable-diffusion-1.5_io32_amdgpu'],
		[{ gpuBytes: 24 * GIB, ramBytes: 16 * GIB, diskFreeBytes: 500 * GIB }, 'amd/stable-diffusion-xl-1.0_io32_amdgpu'],
	])('%j → %s', (machine, name) => {
		const { entry, reason } = recommend(machine);
		expect(entry.repo ?? entry.name).toBe(name);
		expect(reason).toMatch(/^this machine has .* GiB/);
	});
	it('never names a gated model, nor one name twice', () => {
		expect(new Set(CATALOG.map((entry) => entry.name)).size).toBe(CATALOG.length);
		expect(new Set(CATALOG.map((entry) => entry.repo)).size).toBe(CATALOG.length);
		for (const gpuBytes of [2, 5, 8, 12, 24, 80].map((gib) => gib * GIB)) {
			const { entry } = recommend({ gpuBytes, ramBytes: 64 * GIB, diskFreeBytes: 900 * GIB });
			expect([entry.gated, entry.export]).toEqual([false, undefined]);
			// without a GPU nothing that needs one
			expect(recommend({ ramBytes: gpuBytes, diskFreeBytes: 900 * GIB }).entry.cudaOnly).toBeUndefined();
		}
		expect(CATALOG.filter((entry) => entry.tested).map((entry) => entry.name)).toEqual(['storybook']);
	});
});

describe('the line of a download', () => {
	it('shows how much, how fast and how long still', () => {
		expect(renderPull(512 * MIB, GIB, 64 * MIB)).toBe(
			`${'█'.repeat(12)}${'░'.repeat(12)} 50 %  512.0 MiB of 1.0 GiB  64.0 MiB/s  0:08 left`,
		);
		expect(renderPull(0, 0, undefined)).toContain('100 %');
		expect([inWords(1), inWords(3 * GIB)]).toEqual(['1 KiB', '3.0 GiB']);
	});
	it('redraws a terminal often and a log seldom', () => {
		for (const [isTTY, lines] of [
			[true, 10],
			[false, 0],
		] as const) {
			let text = '';
			let at = 0;
			const line = createPullLine({ stream: { isTTY, write: (part) => (text += part) }, now: () => at });
			for (; at < 2000; at += 20) line.update(at, 2000);
			line.note('note');
			line.done();
			expect(text.split('%').length - 1).toBeGreaterThanOrEqual(lines && lines - 1);
			expect(text.endsWith('note\n')).toBe(true);
		}
	});
});

/** The package as it is published: its shape, and its examples against a running gateway. */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../../tests/lib/gateway.ts';
import { startTestNode, type TestNode } from '../../tests/lib/node.ts';
import { bunCommand, installPacked, SDK } from './unpacked.ts';

const bin = (name: string, args: string[], cwd: string): string =>
	execFileSync(join(SDK, 'node_modules/.bin', name), args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

let folder: string;
let tarball: string;
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), 'limner-sdk-test-'));
	tarball = installPacked(folder);
	cpSync(join(SDK, 'examples'), join(folder, 'examples'), { recursive: true });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the package', () => {
	it('is clean by publint', () => {
		expect(bin('publint', [tarball, '--strict'], folder)).toContain('All good');
	});

	it('has types that resolve in every ESM way', () => {
		// Ends with an error when it finds any.
		expect(() => bin('attw', [tarball, '--profile', 'esm-only'], folder)).not.toThrow();
	});

	it('holds neither tests nor sources', () => {
		const files = readdirSync(join(folder, 'node_modules/@limner/sdk'), { recursive: true, encoding: 'utf8' });
		expect(files.filter((file) => /test|src|examples/.test(file))).toEqual([]);
		expect(files).toContain('README.md');
	});
});

describe('examples', () => {
	let gateway: TestGateway;
	let node: TestNode;
	beforeAll(async () => {
		gateway = await startTestGateway();
		node = await startTestNode(gateway, { name: 'sdk', stepMs: 30 });
	});
	afterAll(async () => {
		await node?.stop();
		await gateway?.stop();
	});

	const exampleOn = (command: string[], name: string, ...args: string[]): Promise<{ output: string; code: number | null }> =>
		new Promise((resolve) => {
			const [file = '', ...before] = command;
			const child = spawn(file, [...before, join(folder, 'examples', `${name}.ts`), ...args], {
				cwd: folder,
				env: { ...process.env, LIMNER_URL: gateway.url, LIMNER_API_KEY: gateway.key },
				timeout: 120_000,
			});
			let output = '';
			child.stdout.on('data', (chunk) => (output += String(chunk)));
			child.stderr.on('data', (chunk) => (output += String(chunk)));
			child.on('exit', (code) => resolve({ output, code }));
		});

	const example = (name: string, ...args: string[]) =>
		exampleOn([process.execPath, '--disable-warning=ExperimentalWarning'], name, ...args);

	it('generate', async () => {
		const { output, code } = await example('generate', 'a castle', 'castle.png');
		expect(code, output).toBe(0);
		expect(output).toContain('succeeded 100 %');
		expect(output).toMatch(/castle\.png: \d+×\d+, seed 7/);
		expect(readFileSync(join(folder, 'castle.png')).subarray(1, 4).toString()).toBe('PNG');
		const steps = node.engineLog().filter(({ event }) => event === 'step');
		expect(steps.length).toBeGreaterThan(0);
	});

	it('img2img', async () => {
		const { output, code } = await example('img2img', 'castle.png', 'snow', 'snow.png');
		expect(code, output).toBe(0);
		expect(readFileSync(join(folder, 'snow.png')).subarray(1, 4).toString()).toBe('PNG');
	});

	it('cancel: the engine stops', async () => {
		const { output, code } = await example('cancel');
		expect(code, output).toBe(0);
		expect(output).toContain(': canceled');
		const jobId = output.slice(0, output.indexOf(':'));
		const steps = node.engineLog().filter((event) => event.jobId === jobId && event.event === 'step');
		expect(steps.length).toBeLessThan(150);
	});

	it('generate on Bun', async () => {
		const { output, code } = await exampleOn([bunCommand()], 'generate', 'a castle', 'bun.png');
		expect(code, output).toBe(0);
		expect(readFileSync(join(folder, 'bun.png'))).toEqual(readFileSync(join(folder, 'castle.png')));
	});

	it('overview', async () => {
		const { output, code } = await example('overview');
		expect(code, output).toBe(0);
		expect(output).toContain('node sdk: online');
		expect(output).toMatch(/model .+: \d+×\d+, 1 node/);
		expect(output.match(/^picture img_/gm)).toHaveLength(3);
	});
});

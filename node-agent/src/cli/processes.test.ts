import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeGateway, fakeSpec } from '../node/fake-gateway.test-lib.ts';
import { EMBEDDED_MODELS, nativePx } from '../models/embedded.test-lib.ts';

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));
let folder = '';
let gateway: FakeGateway;
const children: ChildProcess[] = [];
beforeEach(async () => {
	folder = mkdtempSync(join(tmpdir(), 'limner-process-'));
	gateway = await FakeGateway.start();
});
afterEach(async () => {
	for (const child of children.splice(0)) child.kill('SIGKILL');
	await gateway.stop();
	rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

const until = async (what: string, check: () => boolean, ms = 15_000): Promise<void> => {
	const end = Date.now() + ms;
	while (!check()) {
		if (Date.now() > end) throw new Error(`timed out: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 10));
	}
};

interface NodeProcess {
	child: ChildProcess;
	output: () => string;
	ended: () => { code: number | null; signal: string | null } | undefined;
}
const startNode = async (...args: string[]): Promise<NodeProcess> => {
	const flags = ['node', '--gateway', gateway.url, '--token', 't', '--name', 'n', '--state-dir', folder, ...args];
	const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
	children.push(child);
	let output = '';
	let ended: ReturnType<NodeProcess['ended']>;
	child.stderr?.on('data', (chunk) => (output += String(chunk)));
	child.on('close', (code, signal) => (ended = { code, signal }));
	await until('hello', () => gateway.of('hello').length > 0 || ended !== undefined);
	return { child, output: () => output, ended: () => ended };
};
const mock = (stepMs: number): string[] => ['--engine', 'mock', '--mock-step-ms', String(stepMs)];
const grant = (jobId: string, steps: number): void =>
	gateway.send({
		t: 'task',
		jobId,
		index: 0,
		epoch: 1,
		slotId: '0',
		leaseMs: 20_000,
		spec: fakeSpec({ steps }),
		seed: 1,
		ticket: jobId,
		inputs: [],
		traceId: 'a'.repeat(32),
	});
const steps = (): number =>
	existsSync(join(folder, 'engine.log')) ? readFileSync(join(folder, 'engine.log'), 'utf8').split('"event":"step"').length - 1 : 0;
const alive = (pid: number): boolean => {
	try {
		process.kill(pid, 0);
		return true;
	} catch {
		return false;
	}
};

describe('limner node as a process', () => {
	it('finishes a short task on SIGTERM, leaves with code 0, and logs JSON lines with the trace', async () => {
		const node = await startNode(...mock(40));
		grant('job_a', 20);
		await until('runs', () => steps() > 3);
		node.child.kill('SIGTERM');
		await until('ended', () => node.ended() !== undefined);
		expect(node.ended()).toEqual({ code: 0, signal: null });
		expect(gateway.uploads.map((upload) => upload.ticket)).toEqual(['job_a']);
		expect(gateway.of('bye').at(-1)?.abandoned).toEqual([]);
		const lines = readFileSync(join(folder, 'node.log'), 'utf8')
			.trim()
			.split('\n')
			.map((line) => JSON.parse(line) as Record<string, unknown>);
		const about = lines.filter((line) => line['jobId'] === 'job_a');
		expect(about.length).toBeGreaterThanOrEqual(3);
		expect(about.every((line) => line['traceId'] === 'a'.repeat(32))).toBe(true);
		expect(existsSync(join(folder, 'node.pid'))).toBe(false);
		expect(node.output()).toMatch(/n · online · 1\/1 busy/);
		expect(node.output()).toMatch(/stopping/);
	});

	it('hands a long task back on SIGINT, and its engine process goes with it', async () => {
		const node = await startNode(...mock(300));
		grant('job_a', 150);
		await until('runs', () => steps() > 0);
		const pid = (JSON.parse(readFileSync(join(folder, 'engine.log'), 'utf8').split('\n')[0] ?? '{}') as { pid: number }).pid;
		node.child.kill('SIGINT');
		await until('ended', () => node.ended() !== undefined);
		expect(node.ended()?.code).toBe(0);
		expect(gateway.of('bye').at(-1)?.abandoned).toEqual([{ jobId: 'job_a', index: 0, epoch: 1 }]);
		await until('engine gone', () => !alive(pid));
	});

	it('leaves at once on the second signal', async () => {
		const node = await startNode(...mock(80));
		grant('job_a', 100);
		await until('runs', () => steps() > 2);
		node.child.kill('SIGINT');
		await until('stopping', () => node.output().includes('stopping'));
		const began = Date.now();
		node.child.kill('SIGINT');
		await until('ended', () => node.ended() !== undefined);
		expect(Date.now() - began).toBeLessThan(3000);
		expect(node.ended()?.code).toBe(130);
		expect(gateway.uploads).toEqual([]);
	});

	it('takes its engine processes with it when it is killed', async () => {
		const node = await startNode(...mock(50));
		grant('job_a', 150);
		await until('runs', () => steps() > 2);
		const pid = (JSON.parse(readFileSync(join(folder, 'engine.log'), 'utf8').split('\n')[0] ?? '{}') as { pid: number }).pid;
		expect(pid).not.toBe(node.child.pid);
		node.child.kill('SIGKILL');
		await until('engine gone', () => !alive(pid));
	});

	it('stops with a sentence when another process uses its state folder', async () => {
		const node = await startNode(...mock(10));
		gateway.socket?.close(4409, 'replaced');
		await until('ended', () => node.ended() !== undefined);
		expect(node.ended()?.code).toBe(1);
		expect(node.output()).toMatch(/Another process connected with the same state folder.*--state-dir/);
	});

	it('refuses a certificate of another trust than its owner expects', async () => {
		const node = await startNode(...mock(10), '--trust', 'shared');
		await until('ended', () => node.ended() !== undefined);
		expect(node.ended()?.code).toBe(1);
		expect(node.output()).toMatch(/certificate is for "own", not "shared"/);
	});

	it('makes a real picture with the embedded model, and says which words it never learnt', async () => {
		const node = await startNode();
		gateway.send({
			t: 'task',
			jobId: 'job_real',
			index: 0,
			epoch: 1,
			slotId: '0',
			leaseMs: 20_000,
			seed: 3,
			ticket: 'real',
			inputs: [],
			spec: fakeSpec({ prompt: 'a red spaceship on a hill', steps: 2, width: 128, height: 128, guidance: 4 }),
		});
		await until('uploaded', () => gateway.uploads.length === 1, 30_000);
		expect(gateway.uploads[0]).toMatchObject({
			sha256Matches: true,
			meta: { engine: 'onnx', warnings: [expect.stringContaining('spaceship') as string] },
		});
		expect(gateway.of('hello')[0]).toMatchObject({
			models: EMBEDDED_MODELS.map((name) => expect.objectContaining({ name, nativeWidth: nativePx(name) }) as object),
		});
		node.child.kill('SIGTERM');
		await until('ended', () => node.ended() !== undefined);
		expect(node.ended()?.code).toBe(0);
	});
});

const fails = async (...args: string[]): Promise<NodeProcess> => {
	const node = await startNode(...mock(10), ...args);
	await until('ended', () => node.ended() !== undefined);
	expect(node.ended()?.code).toBe(1);
	expect(node.output().trim().split('\n')).toHaveLength(1);
	return node;
};

describe('a state folder that cannot be used', () => {
	it.each(['node.pid', 'node.log'])('is told in a sentence when %s cannot be written', async (name) => {
		mkdirSync(join(folder, name));
		const node = await fails();
		expect(node.output()).toMatch(new RegExp(`limner: .*${name} cannot be written \\(EISDIR\\).*--state-dir`));
	});
	it('is told in a sentence when the outbox is a file', async () => {
		writeFileSync(join(folder, 'outbox'), '');
		const node = await fails();
		expect(node.output()).toMatch(/limner: .*outbox cannot be used \(\w+\).*--state-dir/);
	});
	it('keeps no pid of a node that did not start', async () => {
		writeFileSync(join(folder, 'node.json'), '{"version":1,"ke');
		const node = await fails();
		expect(node.output()).toMatch(/node\.json is damaged; delete it and enrol again/);
		expect(existsSync(join(folder, 'node.pid'))).toBe(false);
	});
});

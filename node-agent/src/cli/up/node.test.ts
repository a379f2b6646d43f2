import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeGateway } from '../../node/fake-gateway.test-lib.ts';
import { newKeyPair } from '../../identity/keys.ts';
import { startNode, type RunningNode } from './node.ts';
import { openState } from './state.ts';

let folder = '';
let gateway: FakeGateway;
let node: RunningNode | undefined;
beforeEach(async () => {
	folder = mkdtempSync(join(tmpdir(), 'limner-up-'));
	gateway = await FakeGateway.start();
});
afterEach(async () => {
	node?.kill();
	node = undefined;
	await gateway.stop();
	rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

const until = async (what: string, check: () => boolean, ms = 30_000): Promise<void> => {
	const end = Date.now() + ms;
	while (!check()) {
		if (Date.now() > end) throw new Error(`timed out: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
};
const start = async (notes: string[] = []): Promise<RunningNode> => {
	const state = openState(join(folder, 'state'));
	const args = ['--engine', 'mock', '--in-process'];
	return startNode({ gatewayUrl: gateway.url, state, args, onRestart: (note) => notes.push(note) });
};

describe('the local node', () => {
	it('enrols although an earlier start was cut off between its keys and its certificate', async () => {
		const nodeDir = join(folder, 'state', 'node');
		mkdirSync(nodeDir, { recursive: true });
		writeFileSync(join(nodeDir, 'node.json'), JSON.stringify({ version: 1, keys: newKeyPair() }));
		node = await start();
		await until('hello', () => gateway.of('hello').length === 1);
		expect(gateway.of('hello')[0]).toMatchObject({ name: 'local' });
	});

	it('gets its join token where other users of the machine cannot read it', async () => {
		node = await start();
		await until('hello', () => gateway.of('hello').length === 1);
		const { stdout } = spawnSync('ps', ['-o', 'args=', '-p', String(node.pid)], { encoding: 'utf8' });
		expect(stdout).toContain('--gateway');
		expect(stdout).not.toContain('a-join-token');
	});

	it('is started again when it leaves with a sentence after it was online', async () => {
		const notes: string[] = [];
		node = await start(notes);
		await until('hello', () => gateway.of('hello').length === 1);
		node.confirm();
		gateway.socket?.close(4409, 'replaced');
		await until('hello again', () => gateway.of('hello').length === 2);
		expect(notes).toEqual([
			expect.stringMatching(/the node ended \(Another process connected with the same state folder.*; starting it again/),
		]);
		expect(node.startError()).toBeUndefined();
	});

	it('is not started again when it never came up; its own words say why', async () => {
		mkdirSync(join(folder, 'state', 'node'), { recursive: true });
		writeFileSync(join(folder, 'state', 'node', 'node.json'), '{"version":1,"ke');
		node = await start();
		await until('ended', () => node?.startError() !== undefined);
		expect(node.startError()).toMatch(/node\.json is damaged; delete it/);
		expect(existsSync(join(folder, 'state', 'node', 'node.pid'))).toBe(false);
		expect(readFileSync(join(folder, 'state', 'node-output.log'), 'utf8')).not.toMatch(/\n\s+at /);
	});
});

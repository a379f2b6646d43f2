/** A node's key is changed by its command, as an operator would do it. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';

const run = promisify(execFile);
let gateway: TestGateway;
let stateDir = '';
const nodes: TestNode[] = [];
beforeAll(async () => {
	gateway = await startTestGateway();
	stateDir = mkdtempSync(join(tmpdir(), 'limner-rotate-'));
}, 120_000);
afterAll(async () => {
	for (const node of nodes) await node.stop();
	await gateway?.stop();
	rmSync(stateDir, { recursive: true, force: true, maxRetries: 5 });
}, 120_000);

interface Identity {
	nodeId: string;
	certificate: string;
	keys: { publicKey: string };
}
const identity = (): Identity => JSON.parse(readFileSync(join(stateDir, 'node.json'), 'utf8'));
const rotate = () =>
	run(process.execPath, [
		'--disable-warning=ExperimentalWarning',
		join(projectRoot(), 'node-agent/src/cli/main.ts'),
		'node',
		'rotate-key',
		'--state-dir',
		stateDir,
	]);

it('is refused while the node runs; afterwards the node works with the new key and the old certificate is worth nothing', async () => {
	const first = await startTestNode(gateway, { name: 'turning', stateDir });
	nodes.push(first);
	await expect(rotate()).rejects.toThrow(/stop it first/);
	await first.stop();
	const before = identity();
	expect((await rotate()).stdout).toContain(before.nodeId);
	const after = identity();
	expect(after.keys.publicKey).not.toBe(before.keys.publicKey);
	expect(after.nodeId).toBe(before.nodeId);

	const second = await startTestNode(gateway, { name: 'turning', stateDir });
	nodes.push(second);
	const job = await gateway.submit({ prompt: 'a red castle', steps: 1 });
	expect((await gateway.jobEnded(job.id)).state).toBe('succeeded');
	const renewed = await gateway.api('POST', '/api/v1/nodes/renew', undefined, { authorization: `Bearer ${before.certificate}` });
	expect([401, 403]).toContain(renewed.status);
}, 180_000);

/**
 * The node under test against the real gateway: two of them, one loses power in the middle of a picture; then workerd
 * itself is killed.
 * @module
 */
import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn, type ChildProcess } from 'node:child_process';
import type { JobView } from '@limner/shared';
import { childrenOf, startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { Peer } from '../lib/peer.ts';
import { until } from '../lib/until.ts';
import { fillIn, type NodeCommand } from './rig.ts';

const check = (condition: boolean, sentence: string): void => {
	if (!condition) throw new Error(sentence);
};

interface Running {
	name: string;
	child: ChildProcess;
}

const start = async (gateway: TestGateway, command: NodeCommand, dir: string, name: string): Promise<Running> => {
	const values = { gateway: gateway.url, token: await gateway.joinToken(), state: join(dir, name), name };
	const [program = '', ...args] = fillIn(command.words, values);
	const child = spawn(program, args, { stdio: 'ignore' });
	const online = async (): Promise<true | undefined> =>
		(await gateway.workers()).some((worker) => worker.name === name && worker.link === 'online') ? true : undefined;
	await until(`${name} is online`, online, 60_000);
	return { name, child };
};

const kill = ({ child }: Running): void => {
	const pid = child.pid ?? 0;
	for (const member of [pid, ...childrenOf(pid)]) {
		try {
			process.kill(member, 'SIGKILL');
		} catch {
			// Gone already.
		}
	}
};

const holderOf = async (gateway: TestGateway, jobId: string): Promise<string> => {
	const view = await until('the job is granted', async () => {
		const job = await gateway.job(jobId);
		return job.history.some((entry) => entry.type === 'assigned') ? job : undefined;
	});
	const nodeId = view.history.find((entry) => entry.type === 'assigned')?.nodeId;
	return (await gateway.workers()).find((worker) => worker.id === nodeId)?.name ?? '';
};

const charged = (gateway: TestGateway, id: string): number =>
	gateway.rows('Workspace', 'ledger').filter((row) => JSON.stringify(row).includes(id)).length;

const checkDone = async (gateway: TestGateway, view: JobView, epoch: number): Promise<void> => {
	check(view.state === 'succeeded' && view.images.length === 1, `the job ended as ${view.state}: ${view.error?.message ?? ''}`);
	check(view.history.findLast((entry) => entry.type === 'assigned')?.epoch === epoch, `the picture is not of epoch ${epoch}`);
	await until('the usage is settled', () => (charged(gateway, view.id) > 0 ? true : undefined));
	check(charged(gateway, view.id) === 1, 'the job is charged more than once');
	check(gateway.objects().filter((key) => key.includes(view.id)).length === 1, 'more than one picture is stored');
};

/** A node whose signature does not fit its certificate is turned away by the gateway with 4401. */
const badSignature = async (gateway: TestGateway): Promise<void> => {
	const peer = await Peer.enrol(gateway, 'forger');
	const { privateKey } = generateKeyPairSync('ed25519');
	const forger = new Peer(gateway, peer.nodeId, peer.certificate, createPrivateKey(privateKey.export({ format: 'pem', type: 'pkcs8' })));
	check(sign(null, Buffer.from('x'), privateKey).length === 64, 'no signature');
	void forger.connect().catch(() => undefined);
	await until('the forger is turned away', () => (forger.closed?.code === 4401 ? true : undefined));
};

/** Throws with a sentence when something is not as it must be. */
export const failover = async (command: NodeCommand): Promise<void> => {
	const gateway = await startTestGateway();
	const dir = mkdtempSync(join(tmpdir(), 'limner-failover-'));
	const nodes: Running[] = [];
	try {
		await badSignature(gateway);
		for (const name of ['first', 'second']) nodes.push(await start(gateway, command, dir, name));
		const models = await gateway.api<{ data: { name: string; nodes: number }[] }>('GET', '/api/v1/models');
		const model = models.body.data.find(({ nodes: count }) => count > 0)?.name;
		const request = { prompt: 'a windmill', model, steps: 60, width: 64, height: 64, seed: 9 };
		const job = await gateway.submit(request);
		const victim = await holderOf(gateway, job.id);
		for (const node of nodes) if (node.name === victim) kill(node);
		await checkDone(gateway, await gateway.jobEnded(job.id), 2);
		// The other one works on while workerd is away, and is taken back at its epoch.
		const next = await gateway.submit({ ...request, seed: 10 });
		await holderOf(gateway, next.id);
		await gateway.crash();
		await checkDone(gateway, await gateway.jobEnded(next.id), 1);
	} finally {
		for (const node of nodes) kill(node);
		await gateway.stop();
		rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
	}
};

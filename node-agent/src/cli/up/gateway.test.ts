import { fork, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startGateway, type RunningGateway } from './gateway.ts';
import { endGroup } from './group.ts';
import { projectRoot } from './project.ts';
import { openState } from './state.ts';

let folder = '';
let gateway: RunningGateway | undefined;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'limner-gateway-'));
});
afterEach(async () => {
	await gateway?.stop();
	gateway = undefined;
	rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

const alive = (pid: number): boolean => {
	try {
		process.kill(pid, 0);
		return true;
	} catch {
		return false;
	}
};
const until = async (what: string, check: () => boolean | Promise<boolean>, ms = 30_000): Promise<void> => {
	const end = Date.now() + ms;
	while (!(await check())) {
		if (Date.now() > end) throw new Error(`timed out: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 50));
	}
};

describe('the local gateway', () => {
	it('is back on its port after its host was killed, without a second workerd', async () => {
		const notes: string[] = [];
		const state = openState(join(folder, 'state'));
		gateway = await startGateway({ root: projectRoot(), state, host: '127.0.0.1', port: 0, onRestart: (note) => notes.push(note) });
		const { url, pid } = gateway;
		process.kill(pid, 'SIGKILL');
		await until('a new host', () => gateway?.pid !== pid);
		expect((await fetch(`${url}/health`)).status).toBe(200);
		expect(notes).toEqual([expect.stringMatching(/the gateway ended \(SIGKILL\); starting it again/) as string]);
	}, 90_000);

	it('goes away when its parent was killed while it was still loading', async () => {
		const parent = join(folder, 'parent.mjs');
		const host = fileURLToPath(new URL('gateway-host.ts', import.meta.url));
		const options = {
			configFile: join(projectRoot(), 'wrangler.toml'),
			bundleFile: '/dev/null',
			host: '127.0.0.1',
			port: 0,
			bindings: {},
			persistDir: folder,
			logFile: join(folder, 'g.log'),
		};
		const env = JSON.stringify({ LIMNER_GATEWAY_HOST: JSON.stringify(options) });
		writeFileSync(
			parent,
			`import { fork } from 'node:child_process';
			const child = fork(${JSON.stringify(host)}, { detached: true, stdio: 'ignore', env: { ...process.env, ...${env} } });
			child.once('spawn', () => process.send(child.pid));
			setInterval(() => undefined, 1000);`,
		);
		const child = fork(parent, { stdio: 'ignore' });
		const pid = await new Promise<number>((resolve) => child.once('message', (value) => resolve(Number(value))));
		child.kill('SIGKILL');
		await until('the host is gone', () => !alive(pid), 20_000);
		expect(alive(pid)).toBe(false);
	}, 30_000);
});

describe('endGroup', () => {
	it('ends what a killed leader left behind, and does not mind when nobody is left', async () => {
		const leader = spawn('sh', ['-c', 'sleep 60 & echo $!; wait'], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
		const orphan = await new Promise<number>((resolve) => leader.stdout.once('data', (chunk) => resolve(Number(String(chunk)))));
		const gone = new Promise((resolve) => leader.once('exit', resolve));
		leader.kill('SIGKILL');
		await gone;
		expect(alive(orphan)).toBe(true);
		endGroup(leader.pid);
		await until('orphan gone', () => !alive(orphan));
		endGroup(leader.pid);
		endGroup(undefined);
	});
});

import { spawn, execFileSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { JobView } from '@limner/shared';
import { buildGateway } from '../../node-agent/src/cli/up/bundle.ts';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { sleep, until } from '../lib/until.ts';

const CLI = join(projectRoot(), 'node-agent/src/cli/main.ts');
const stateDir = mkdtempSync(join(tmpdir(), 'limner-up-'));
const folder = mkdtempSync(join(tmpdir(), 'limner-demo-'));
let port = 0;

const freePort = (): Promise<number> =>
	new Promise((resolve) => {
		const server = createServer();
		server.listen(0, '127.0.0.1', () => {
			const address = server.address();
			server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
		});
	});

interface Started {
	child: ChildProcess;
	output: () => string;
	/** What a terminal's Ctrl-C does: SIGINT for the whole group. */
	ctrlC: () => void;
	exitCode: () => Promise<number | null>;
}

const limner = (args: string[], cwd = folder): Started => {
	const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', CLI, ...args], {
		detached: true,
		cwd,
		stdio: ['ignore', 'pipe', 'pipe'],
		env: { ...process.env, INIT_CWD: cwd },
	});
	let output = '';
	child.stdout.on('data', (chunk) => (output += String(chunk)));
	child.stderr.on('data', (chunk) => (output += String(chunk)));
	return {
		child,
		output: () => output,
		ctrlC: () => process.kill(-(child.pid ?? 0), 'SIGINT'),
		exitCode: async () => {
			await until(`limner ${args[0]} ends`, () => (child.exitCode !== null || child.signalCode !== null ? true : undefined), 90_000);
			return child.exitCode;
		},
	};
};

const up = async (): Promise<Started> => {
	const started = limner(['up', '--port', String(port), '--state-dir', stateDir]);
	await until(
		'it is up',
		() => {
			if (started.child.exitCode !== null) throw new Error(`limner up ended:\n${started.output()}`);
			return started.output().includes('Ctrl-C stops both') ? true : undefined;
		},
		60_000,
	);
	return started;
};

const api = async (method: string, path: string, body?: unknown): Promise<{ status: number; body: JobView }> => {
	const key = readFileSync(join(stateDir, 'key'), 'utf8').trim();
	const response = await fetch(`http://127.0.0.1:${port}${path}`, {
		method,
		headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
		...(body === undefined ? {} : { body: JSON.stringify(body) }),
	});
	return { status: response.status, body: (await response.json()) as JobView };
};

/** Processes that have the state folder on their command line or in their options. */
const leftovers = (): string =>
	execFileSync('ps', ['-eo', 'pid,args'], { encoding: 'utf8' })
		.split('\n')
		.filter((line) => line.includes(stateDir) && !line.includes('ps -eo'))
		.join('\n');

beforeAll(async () => {
	port = await freePort();
});
afterAll(() => {
	rmSync(stateDir, { recursive: true, force: true, maxRetries: 5 });
	rmSync(folder, { recursive: true, force: true });
});

it('prints address, key and a curl that works; keeps its state; Ctrl-C ends everything in order', async () => {
	const first = await up();
	const key = readFileSync(join(stateDir, 'key'), 'utf8').trim();
	expect(first.output()).toContain(`http://127.0.0.1:${port}`);
	expect(first.output()).toContain(key);
	expect(statSync(join(stateDir, 'key')).mode & 0o777).toBe(0o600);
	const lines = first.output().split('\n');
	const at = lines.findIndex((line) => line.trim().startsWith('curl'));
	const curl = `${lines[at]?.trim().replace(/\\$/, '')} ${lines[at + 1]?.trim()}`;
	const made = JSON.parse(execFileSync('bash', ['-c', curl], { encoding: 'utf8' })) as JobView;
	expect(made.state).toBe('succeeded');

	expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toContain('<title>Limner</title>');

	// A long job is running when Ctrl-C comes: it is handed back, and the next start takes it up again.
	const long = await api('POST', '/api/v1/jobs', { prompt: 'a castle', steps: 150, n: 16, width: 256, height: 256 });
	expect(long.status).toBe(202);
	await until('it runs', async () => ((await api('GET', `/api/v1/jobs/${long.body.id}`)).body.state === 'running' ? true : undefined));
	first.ctrlC();
	expect(await first.exitCode()).toBe(0);
	await until('nothing is left running', () => (leftovers() === '' ? true : undefined), 20_000);

	const second = await up();
	expect(readFileSync(join(stateDir, 'key'), 'utf8').trim()).toBe(key);
	const old = await api('GET', `/api/v1/jobs/${made.id}`);
	expect(old.body.state).toBe('succeeded');
	expect((await fetch(old.body.images[0]?.url ?? '')).status).toBe(200);
	const resumed = await until('the handed-back job goes on', async () => {
		const view = (await api('GET', `/api/v1/jobs/${long.body.id}`)).body;
		return view.tasks?.some((task) => task.state === 'leased') === true || view.images.length > 0 ? view : undefined;
	});
	expect(resumed.history.map((entry) => entry.type)).toContain('assigned');
	expect((await api('POST', `/api/v1/jobs/${long.body.id}/cancel`)).status).toBe(200);

	const clash = limner(['up', '--port', String(port), '--state-dir', join(folder, 'other')]);
	expect(await clash.exitCode()).toBe(1);
	expect(clash.output()).toMatch(new RegExp(`port ${port} .*used by another program.*--port`));
	expect(clash.output()).not.toContain('    at ');

	second.ctrlC();
	await sleep(50);
	second.ctrlC();
	await second.exitCode();
	await until('nothing is left running', () => (leftovers() === '' ? true : undefined), 20_000);
});

it('makes pictures with the demo, in any folder, and leaves nothing running', async () => {
	const demo = limner(['demo', 'a', 'red', 'castle', '--out', 'sub/castle.png', '--seed', '5', '--steps', '4', '--n', '2']);
	expect(await demo.exitCode(), demo.output()).toBe(0);
	for (const name of ['castle.0.png', 'castle.1.png']) {
		expect(
			readFileSync(join(folder, 'sub', name))
				.subarray(1, 4)
				.toString(),
		).toBe('PNG');
	}
	expect(demo.output()).toContain('seed 5');
	expect(demo.output()).toContain('seed 6');
	expect(demo.output()).toMatch(/queue \d+ ms · load .* · denoise .* · decode .* · total \d/);
	// The bundle that ran is the one that a deploy would upload.
	const bundle = await buildGateway(projectRoot());
	expect(demo.output()).toContain(bundle.sha256.slice(0, 16));
});

it('says in one sentence what is wrong', async () => {
	const cases: [args: string[], words: RegExp][] = [
		[['demo', 'x', '--out', '/dev/null/x.png', '--steps', '1'], /cannot be written/],
		[['demo', 'x', '--steps', '0'], /steps/],
		[['up', '--port', 'abc'], /port/],
		[['up', '--port', '0', '--state-dir', '/dev/null/limner'], /state folder|cannot be written/],
		[['node', '--gateway', 'http://127.0.0.1:1', '--token', 'jt_x_y', '--state-dir', join(folder, 'n')], /127\.0\.0\.1:1/],
		[['generate', '--prompt', 'x', '--model', 'no-such-model'], /no-such-model/],
	];
	for (const [args, words] of cases) {
		const run = limner(args);
		expect(await run.exitCode(), `${args.join(' ')}: ${run.output()}`).toBeGreaterThan(0);
		expect(run.output(), args.join(' ')).toMatch(words);
		expect(run.output(), args.join(' ')).not.toMatch(/\n\s+at /);
	}
});

/**
 * `npm run bench:e2e`: the whole way of a job, measured from outside. Each job is a real POST with a key and ends with
 * a verified upload of a PNG of more than 1 KB; the engine is the mock. Two runs for each number of nodes:
 *
 * - light: one job at a time. Dispatch = from the 202 in the caller's hands to the task in the node's engine (negative
 *   when the push overtakes the answer); overhead = POST to finished picture (`?wait`), less the engine's own time.
 * - full: as many posters as keep the gateway busy, engine time 0. Jobs a second until the last one is settled.
 *
 * Every process is on this machine, so the load generator and the nodes take their share of the same cores: the CPU
 * columns say who used them. `--jobs N` jobs in the full run, `--nodes 1,8,50`.
 * @module
 */
import { fork, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { childrenOf, startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { until } from '../lib/until.ts';
import type { MockNodesOptions } from './mock-nodes.ts';
import { cpuSeconds, percentile, table } from './stats.ts';

const POSTERS = 16;
const LIGHT_JOBS = 40;
const LIGHT_STEP_MS = 5;
const LIGHT_STEPS = 4;
/** 64×64 noise: about 12 KB as PNG. */
const SIZE_PX = 64;

interface EngineEvent {
	jobId: string;
	event: string;
	at: number;
}

interface Fleet {
	child: ChildProcess;
	log: () => EngineEvent[];
	stop: () => Promise<void>;
}

const startFleet = async (gateway: TestGateway, count: number, stepMs: number): Promise<Fleet> => {
	const dir = mkdtempSync(join(tmpdir(), 'limner-bench-'));
	const answer = await gateway.api<{ token: string }>('POST', '/api/v1/join-tokens', { trust: 'own', maxUses: count });
	const options: MockNodesOptions = { gateway: gateway.url, token: answer.body.token, dir, count, stepMs };
	const child = fork(fileURLToPath(new URL('./mock-nodes.ts', import.meta.url)), {
		env: { ...process.env, MOCK_NODES: JSON.stringify(options) },
	});
	await new Promise<void>((resolve, reject) => {
		child.once('message', () => resolve());
		child.once('exit', (code) => reject(new Error(`the mock nodes ended with code ${code}`)));
	});
	const file = join(dir, 'engine.log');
	return {
		child,
		log: () =>
			existsSync(file)
				? readFileSync(file, 'utf8')
						.split('\n')
						.filter(Boolean)
						.map((line) => JSON.parse(line) as EngineEvent)
				: [],
		stop: async () => {
			const gone = new Promise((resolve) => child.once('exit', resolve));
			child.send('stop');
			await gone;
			rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
		},
	};
};

const clock = (): number => performance.timeOrigin + performance.now();

const request = (seed: number, steps: number): Record<string, unknown> => ({
	prompt: 'bench',
	width: SIZE_PX,
	height: SIZE_PX,
	seed,
	steps,
});

interface Light {
	dispatch: number[];
	overhead: number[];
}

/** One job at a time. */
const runLight = async (gateway: TestGateway, nodes: number): Promise<Light> => {
	const fleet = await startFleet(gateway, nodes, LIGHT_STEP_MS);
	const answered = new Map<string, number>();
	const walls = new Map<string, number>();
	for (let i = 0; i < LIGHT_JOBS; i++) {
		const job = await gateway.submit(request(i, LIGHT_STEPS));
		answered.set(job.id, clock());
		await gateway.jobEnded(job.id);
	}
	for (let i = 0; i < LIGHT_JOBS; i++) {
		const began = clock();
		const answer = await gateway.api<{ id: string; state: string }>('POST', '/api/v1/jobs?wait=45', request(1000 + i, LIGHT_STEPS));
		if (answer.body.state !== 'succeeded') throw new Error(`a job of the light run ended as ${answer.body.state}`);
		walls.set(answer.body.id, clock() - began);
	}
	const log = fleet.log();
	await fleet.stop();
	const at = (id: string, event: string): number => log.find((line) => line.jobId === id && line.event === event)?.at ?? Number.NaN;
	return {
		dispatch: [...answered].map(([id, time]) => at(id, 'start') - time),
		overhead: [...walls].map(([id, wall]) => wall - (at(id, 'end') - at(id, 'start'))),
	};
};

interface Full {
	jobsPerS: number;
	api: number[];
	dispatch: number[];
	uploads: number;
	cpu: Record<string, number>;
}

const settledImages = async (gateway: TestGateway): Promise<number> =>
	(await gateway.api<{ images: number }>('GET', '/api/v1/resources/usage')).body.images;

/** As many jobs as it can take. */
const runFull = async (gateway: TestGateway, nodes: number, jobs: number): Promise<Full> => {
	const fleet = await startFleet(gateway, nodes, 0);
	const before = await settledImages(gateway);
	const objects = gateway.objects().length;
	const pids: Record<string, number> = {
		workerd: childrenOf(gateway.gateway.pid)[0] ?? 0,
		host: gateway.gateway.pid,
		nodes: fleet.child.pid ?? 0,
		posters: process.pid,
	};
	const cpuBefore = Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, cpuSeconds(pid)]));
	const api: number[] = [];
	const answered = new Map<string, number>();
	const began = clock();
	let next = 0;
	const poster = async (): Promise<void> => {
		while (next < jobs) {
			const sent = clock();
			const job = await gateway.submit(request(10_000 + next++, 1));
			api.push(clock() - sent);
			answered.set(job.id, clock());
		}
	};
	await Promise.all(Array.from({ length: POSTERS }, poster));
	await until('every job is settled', async () => ((await settledImages(gateway)) - before >= jobs ? true : undefined), 300_000, 20);
	const seconds = (clock() - began) / 1000;
	const cpu = Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, (cpuSeconds(pid) - (cpuBefore[name] ?? 0)) / seconds]));
	const starts = new Map(
		fleet
			.log()
			.filter((line) => line.event === 'start')
			.map((line) => [line.jobId, line.at]),
	);
	await fleet.stop();
	return {
		jobsPerS: jobs / seconds,
		api,
		dispatch: [...answered].map(([id, time]) => (starts.get(id) ?? Number.NaN) - time).filter((value) => !Number.isNaN(value)),
		uploads: gateway.objects().length - objects,
		cpu,
	};
};

const { values } = parseArgs({
	options: { jobs: { type: 'string', default: '600' }, nodes: { type: 'string', default: '1,8,50' } },
	allowPositionals: true,
});
const jobs = Number(values.jobs);
const ms = (value: number): string => value.toFixed(1);
const rows: string[][] = [];
const cpuRows: string[][] = [];
for (const nodes of values.nodes.split(',').map(Number)) {
	const gateway = await startTestGateway({ MAX_QUEUE_DEPTH: '1000000', LOG_LEVEL: 'warn' });
	try {
		const light = await runLight(gateway, nodes);
		const full = await runFull(gateway, nodes, jobs);
		rows.push([
			String(nodes),
			`${ms(percentile(light.dispatch, 0.5))} / ${ms(percentile(light.dispatch, 0.95))}`,
			`${ms(percentile(light.overhead, 0.5))} / ${ms(percentile(light.overhead, 0.95))}`,
			full.jobsPerS.toFixed(0),
			`${ms(percentile(full.api, 0.5))} / ${ms(percentile(full.api, 0.95))}`,
			`${ms(percentile(full.dispatch, 0.5))} / ${ms(percentile(full.dispatch, 0.95))}`,
			`${full.uploads} of ${jobs}`,
		]);
		const total = Object.values(full.cpu).reduce((sum, value) => sum + value, 0);
		cpuRows.push([
			String(nodes),
			...['workerd', 'host', 'nodes', 'posters'].map((name) => (full.cpu[name] ?? 0).toFixed(2)),
			`${total.toFixed(2)} of ${availableParallelism()}`,
		]);
		console.error(`${nodes} nodes done`);
	} finally {
		await gateway.stop();
	}
}
console.log('\nMilliseconds as p50 / p95.\n');
console.log(table(['nodes', 'dispatch, light', 'overhead, light', 'jobs/s', 'POST, full', 'dispatch, full', 'uploads'], rows));
console.log('\nCores in use during the full run: what saturates.\n');
console.log(table(['nodes', 'workerd', 'host', 'nodes', 'posters', 'all'], cpuRows));

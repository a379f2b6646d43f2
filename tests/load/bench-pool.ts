/**
 * `npm run bench:pool`: the production Pool in workerd, without HTTP API, pictures and Workspaces. A job is an RPC
 * `enqueue`, a task over a real WebSocket, `ack` and `generated` back, and an RPC `complete`. For each number of nodes:
 *
 * - full: as many jobs in flight as keep the pool busy. Jobs a second, from the first enqueue to the last completion.
 * - paced: jobs at a fixed rate below that. Dispatch = from before the RPC until the node has the task.
 * - idle: nothing but heartbeats. Wake-ups of the Durable Object then.
 *
 * Everything is on this machine; the CPU columns say who used which part of it. workerd has one thread for all Workers
 * and Durable Objects of a process, so "workerd" includes the Worker that makes the RPCs.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { newJobId } from '@limner/shared';
import { specOf } from '../../gateway/src/pool/sim/fixtures.ts';
import type { PoolJob, PoolMetrics } from '../../gateway/src/rpc.ts';
import { sleep, until } from '../lib/until.ts';
import { build, startFleet, startShard, type Fleet } from './pool-processes.ts';
import { cpuSeconds, machineCpuSeconds, percentile, table } from './stats.ts';

/** A job's enqueue RPCs go out in batches of this many, each an RPC of its own. */
const BATCH = 16;
const WARM_UP_JOBS = 400;
const PACED_PER_S = 100;
const PACED_JOBS = 600;
const IDLE_MS = 13_000;
const TARGET_JOBS_PER_S = 400;
const NOT_AFTER_MS = 60_000;

const clock = (): number => performance.timeOrigin + performance.now();

class Caller {
	readonly #url: string;
	readonly #agent = new Agent({ keepAlive: true, maxSockets: 8 });
	/** When the RPC of each job was about to be made. */
	readonly sentAt = new Map<string, number>();

	constructor(url: string) {
		this.#url = url;
	}

	async #post(body: unknown): Promise<{ refused: string[] }> {
		return new Promise((resolve, reject) => {
			const options = { method: 'POST', agent: this.#agent, headers: { 'content-type': 'application/json' } };
			const sending = request(`${this.#url}/call`, options, (answer) => {
				let text = '';
				answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
				answer.on('end', () => (answer.statusCode === 200 ? resolve(JSON.parse(text) as { refused: string[] }) : reject(new Error(text))));
			});
			sending.on('error', reject);
			sending.end(JSON.stringify(body));
		});
	}

	async enqueue(count: number): Promise<void> {
		const now = Date.now();
		const enqueue = Array.from({ length: count }, () => {
			const id = newJobId(now, randomBytes(10), 0);
			const job: PoolJob = { id, ws: 'bench', weight: 1, spec: specOf(now), createdAt: now, warnings: [], keyId: 'k' };
			return { job, notAfter: now + NOT_AFTER_MS };
		});
		const sent = clock();
		for (const { job } of enqueue) this.sentAt.set(job.id, sent);
		const { refused } = await this.#post({ enqueue });
		if (refused.length > 0) throw new Error(`refused: ${refused.slice(0, 3).join(', ')}`);
	}

	async metrics(): Promise<PoolMetrics & { settled: number }> {
		return (await (await fetch(`${this.#url}/metrics`)).json()) as PoolMetrics & { settled: number };
	}
}

/** Enqueues as fast as the window allows, until so many jobs are done. Answers seconds. */
const runFull = async (caller: Caller, fleet: Fleet, jobs: number, window: number): Promise<number> => {
	const before = fleet.done();
	const began = clock();
	let sent = 0;
	while (fleet.done() - before < jobs) {
		const room = Math.min(window - (sent - (fleet.done() - before)), jobs - sent);
		if (room >= Math.min(BATCH, jobs - sent) && room > 0) {
			const count = Math.min(BATCH, room);
			sent += count;
			const going = caller.enqueue(count);
			going.catch((error: unknown) => {
				console.error(error);
				process.exit(1);
			});
		} else await new Promise((resolve) => setTimeout(resolve, 1));
	}
	return (clock() - began) / 1000;
};

const runPaced = async (caller: Caller, fleet: Fleet): Promise<void> => {
	const before = fleet.done();
	const began = clock();
	for (let i = 0; i < PACED_JOBS; i++) {
		await sleep(Math.max(0, began + (i * 1000) / PACED_PER_S - clock()));
		void caller.enqueue(1);
	}
	await until('the paced jobs are done', () => (fleet.done() - before >= PACED_JOBS ? true : undefined));
};

const rssMib = (pid: number): number => {
	const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]);
	return Math.round((pages * 4096) / 1024 ** 2);
};

const sumOf = (counts: Record<string, number>): number => Object.values(counts).reduce((sum, value) => sum + value, 0);
const three = (samples: readonly number[]): string => [0.5, 0.95, 0.99].map((share) => percentile(samples, share).toFixed(1)).join(' / ');
const dispatchOf = (caller: Caller, arrivals: Map<string, number>): number[] =>
	[...arrivals].flatMap(([id, at]) => {
		const sent = caller.sentAt.get(id);
		return sent === undefined ? [] : [at - sent];
	});

/** Above this share of a core a thread has nothing left to give. */
const BUSY = 0.9;

/** Who used the machine, and what more of would have made it faster. */
const coresOf = (nodes: number, jobsPerS: number, cpu: readonly number[], machine: number): string[] => {
	const others = Math.max(
		0,
		cpu.reduce((rest, cores) => rest - cores, machine),
	);
	const [workerd = 0, , players = 0, caller = 0] = cpu;
	const scarce = (): string => {
		if (workerd >= BUSY) return "workerd's one thread";
		if (Math.max(players, caller) >= BUSY) return 'the harness';
		if (machine >= BUSY * availableParallelism()) return others > 0.2 ? 'the cores, shared with others' : 'the cores';
		return 'waiting for round trips';
	};
	return [String(nodes), ...[...cpu, others].map((cores) => cores.toFixed(2)), (jobsPerS / workerd).toFixed(0), scarce()];
};

interface Row {
	cells: string[];
	cpu: string[];
	jobsPerS: number;
}

/** A hibernated object has lost its counters; what it counts since was counted after the end of the hibernation. */
const idleText = (before: PoolMetrics['wakeups'], after: PoolMetrics['wakeups']): string => {
	const slept = after.frame < before.frame;
	return slept ? `${after.frame}, slept` : String(after.frame - before.frame);
};

/** One number of nodes, in a fresh shard. */
const measure = async (bundle: string, nodes: number, jobs: number): Promise<Row> => {
	const dir = mkdtempSync(join(tmpdir(), 'limner-bench-pool-'));
	const shard = await startShard(bundle, dir);
	const fleet = await startFleet(shard.url, nodes);
	const caller = new Caller(shard.url);
	try {
		const window = Math.max(2 * BATCH, Math.min(256, 2 * nodes));
		await runFull(caller, fleet, WARM_UP_JOBS, window);
		await fleet.arrivals();
		const pids = { workerd: shard.workerd, host: shard.host.pid ?? 0, nodes: fleet.child.pid ?? 0, caller: process.pid };
		const cpuBefore = Object.values(pids).map(cpuSeconds);
		const machineBefore = machineCpuSeconds();
		const before = await caller.metrics();
		const seconds = await runFull(caller, fleet, jobs, window);
		const cpu = Object.values(pids).map((pid, i) => (cpuSeconds(pid) - (cpuBefore[i] ?? 0)) / seconds);
		const machine = (machineCpuSeconds() - machineBefore) / seconds;
		const full = dispatchOf(caller, await fleet.arrivals());
		await until('everything is settled', async () => ((await caller.metrics()).settled >= jobs + WARM_UP_JOBS ? true : undefined));
		const after = await caller.metrics();
		const rss = rssMib(shard.workerd);
		await runPaced(caller, fleet);
		const paced = dispatchOf(caller, await fleet.arrivals());
		// What the last job left to be done is over then.
		await sleep(1000);
		const idleBefore = (await caller.metrics()).wakeups;
		await sleep(IDLE_MS);
		const idleAfter = (await caller.metrics()).wakeups;
		const rows = (sumOf(after.rowsWritten) - sumOf(before.rowsWritten)) / jobs;
		const wakeups = (sumOf(after.wakeups) - sumOf(before.wakeups)) / jobs;
		return {
			jobsPerS: jobs / seconds,
			cells: [
				String(nodes),
				(jobs / seconds).toFixed(0),
				three(full),
				three(paced),
				rows.toFixed(2),
				wakeups.toFixed(2),
				idleText(idleBefore, idleAfter),
				String(rss),
			],
			cpu: coresOf(nodes, jobs / seconds, cpu, machine),
		};
	} finally {
		await fleet.stop();
		await shard.stop();
		rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
	}
};

const { values } = parseArgs({
	options: { jobs: { type: 'string', default: '6000' }, nodes: { type: 'string', default: '1,50,500,2000' } },
});
const outDir = mkdtempSync(join(tmpdir(), 'limner-bench-worker-'));
const bundle = build(outDir);
const rows: Row[] = [];
for (const nodes of values.nodes.split(',').map(Number)) {
	rows.push(await measure(bundle, nodes, Number(values.jobs)));
	console.error(`${nodes} nodes done`);
}
rmSync(outDir, { recursive: true, force: true });
const header = ['nodes', 'jobs/s', 'dispatch, full', `dispatch, ${PACED_PER_S}/s`, 'rows/job', 'wake-ups/job', 'wake-ups, idle', 'MiB'];
console.log('\nDispatch in ms as p50 / p95 / p99. Rows without the delete, which follows in batches after two minutes: one more.');
console.log(
	`Wake-ups, idle: by ${IDLE_MS / 1000} s of heartbeats alone; slept = the object was hibernated then. MiB: resident memory of workerd.\n`,
);
console.log(
	table(
		header,
		rows.map((row) => row.cells),
	),
);
console.log(`\nCores in use during the full run, of ${availableParallelism()}.\n`);
console.log(
	table(
		['nodes', 'workerd', 'host', 'players', 'caller', 'other programs', 'jobs a core-second of workerd', 'what is scarce'],
		rows.map((row) => row.cpu),
	),
);
const slowest = Math.min(...rows.map((row) => row.jobsPerS));
console.log(`\nslowest: ${slowest.toFixed(0)} jobs/s; target ${TARGET_JOBS_PER_S}`);

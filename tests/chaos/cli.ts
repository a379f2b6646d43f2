/**
 * `npm run test:chaos`: a real gateway, six real nodes, three workspaces, and a seeded storm of faults. When it is over,
 * an auditor looks at rows, stored bytes and processes. Exit code 1 when anything is wrong.
 * @module
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { newApiKey } from '@limner/shared';
import { startGateway } from '../../node-agent/src/cli/up/gateway.ts';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { openState, type LocalState } from '../../node-agent/src/cli/up/state.ts';
import { TestGateway } from '../lib/gateway.ts';
import { until } from '../lib/until.ts';
import { percentile, table } from '../load/stats.ts';
import { audit, type JobEvidence } from './audit.ts';
import { processesMarked, readLive, readObjects, readWorkspaces, workspaceOfKey } from './evidence.ts';
import { measureKills } from './kills.ts';
import { Machine } from './machine.ts';
import { regrants, type AppliedFault } from './regrant.ts';
import { enterNamespaces, namespaced, openNetwork } from './sandbox.ts';
import { FULL_JOBS, planChaos, type ChaosPlan, type FaultKind } from './schedule.ts';
import { Storm, type Tenant } from './storm.ts';

const HELP = `Breaks a running system on purpose and audits what is left.

  npm run test:chaos -- [--seed 1] [--jobs ${FULL_JOBS}] [--keep]
  npm run test:chaos -- --kills 40

  --seed   another storm
  --jobs   size of the run; the number of faults goes with it
  --keep   leaves the state folders for a look
  --kills  no storm: so many nodes are killed at work, one after the other, while others stand by; prints how long it
           takes until the work runs elsewhere, and fails when that is longer than it may be
`;

const NODES = 6;
const STORYBOOK_NODES = 2;
const WORKSPACES = ['main', 'second', 'third'];
const DRAIN_MS = 300_000;
const LEFT_OVER_MS = 10_000;
const TERMINAL = new Set(['succeeded', 'failed', 'canceled', 'expired']);
const VARS = { MAX_QUEUE_DEPTH: '1000', LOG_LEVEL: 'warn' };

/** Each workspace is made by the first use of its bootstrap key; the gateway knows one at a time. */
const makeTenants = async (state: LocalState): Promise<Tenant[]> => {
	const tenants: Tenant[] = [];
	for (const ws of WORKSPACES.slice(1)) {
		const apiKey = newApiKey(ws, randomBytes(37));
		const apiKeySha256 = createHash('sha256').update(apiKey).digest('hex');
		const gateway = await startGateway({
			root: projectRoot(),
			state: { ...state, apiKey, apiKeySha256 },
			host: '127.0.0.1',
			port: 0,
			vars: VARS,
		});
		const response = await fetch(`${gateway.url}/api/v1/jobs`, { headers: { authorization: `Bearer ${apiKey}` } });
		await gateway.stop();
		if (!response.ok) throw new Error(`the workspace ${ws} could not be made: HTTP ${response.status}`);
		tenants.push({ ws, key: apiKey });
	}
	return [{ ws: workspaceOfKey(state.apiKey), key: state.apiKey }, ...tenants];
};

const makeMachines = async (gateway: TestGateway, dir: string, host: string, machines: Machine[]): Promise<void> => {
	const answer = await gateway.api<{ token: string }>('POST', '/api/v1/join-tokens', { trust: 'shared', maxUses: NODES * 2 });
	for (let index = 0; index < NODES; index++) {
		const engine = index < STORYBOOK_NODES ? 'onnx' : 'mock';
		const own = join(dir, `machine-${index}`);
		mkdirSync(own, { recursive: true });
		const slots = engine === 'mock' ? 2 : 1;
		machines.push(await Machine.make({ index, engine, dir: own, gateway: gateway.url, host, token: answer.body.token, slots }));
	}
	for (const machine of machines) machine.start();
	const online = async (): Promise<true | undefined> =>
		(await gateway.workers()).filter((worker) => worker.link === 'online').length === NODES ? true : undefined;
	await until('all nodes are online', online, 120_000, 200);
};

/** After the storm everything works again, and what is open must come to its end. */
const drain = async (gateway: TestGateway, machines: Machine[], storm: Storm): Promise<void> => {
	for (const machine of machines) machine.heal();
	const owners = new Map(storm.submitted.map((job) => [job.id, job.ws]));
	const done = async (): Promise<true | undefined> => {
		await storm.resumeAll();
		for (const machine of machines) machine.start();
		const { jobs } = readWorkspaces(gateway.state.dir, owners);
		const open = jobs.filter((job) => !TERMINAL.has(job.state)).length + (storm.submitted.length - jobs.length);
		const waiting = machines.reduce((sum, machine) => sum + machine.outbox().length, 0);
		const live = readLive(gateway.state.dir).filter((row) => row.state !== 'done').length;
		return open === 0 && waiting === 0 && live === 0 ? true : undefined;
	};
	await until('every job has ended and every outbox is empty', done, DRAIN_MS, 1000).catch((error: unknown) => console.log(String(error)));
};

const count = <T>(items: readonly T[], name: (item: T) => string): Map<string, number> => {
	const counts = new Map<string, number>();
	for (const item of items) counts.set(name(item), (counts.get(name(item)) ?? 0) + 1);
	return counts;
};
const listed = (counts: Map<string, number>): string =>
	[...counts]
		.toSorted(([a], [b]) => (a < b ? -1 : 1))
		.map(([name, number]) => `${number} ${name}`)
		.join(', ');

const SILENT_MS = 11_000;
/** How the gateway learns of the fault decides how long it may take. */
const classOf = (fault: AppliedFault): string | undefined => {
	if (fault.kind === 'kill') return 'process killed (socket closes)';
	if (fault.kind === 'drop') return 'socket dropped, node lives';
	if (fault.kind === 'halfOpen') return 'half-open link';
	if (fault.kind === 'stop') return (fault.downMs ?? 0) > SILENT_MS ? 'process stopped > 11 s' : 'process stopped < 11 s';
	return undefined;
};

const seconds = (ms: number): string => (ms / 1000).toFixed(2);

const reportRegrants = (jobs: JobEvidence[], applied: AppliedFault[]): void => {
	const found = regrants(jobs, applied);
	const classes = [...new Set(applied.flatMap((fault) => classOf(fault) ?? []))].toSorted();
	const rows = classes.flatMap((name) => {
		const all = found.filter(({ fault }) => classOf(fault) === name);
		const caught = all.filter(({ mixed }) => !mixed);
		const again = caught.filter(({ afterMs }) => afterMs !== null);
		const others = [String(all.length), String(caught.length - again.length), String(all.length - caught.length)];
		return [false, true].map((waits) => {
			const times = again.flatMap(({ afterMs, waited }) => (afterMs === null || waited !== waits ? [] : [afterMs]));
			const cells = times.length === 0 ? ['-', '-', '-'] : [0.5, 0.95, 1].map((share) => seconds(percentile(times, share)));
			return [waits ? '… no slot was free' : name, ...(waits ? ['', '', ''] : others), String(times.length), ...cells];
		});
	});
	console.log('\nFrom the fault to the next grant of what the victim worked on, in seconds. Where the slot that took it had been busy');
	console.log('or away at any time in between, part of that is the wait for a free slot: those stand in a line of their own.\n');
	console.log(table(['fault', 'tasks caught', 'kept', 'other fault too', 'granted again', 'p50', 'p95', 'max'], rows));
};

interface Outcome {
	violations: string[];
	jobs: JobEvidence[];
}

/** Processes of the run whose node or gateway has gone: each must have noticed and ended. */
const straysOf = (mark: string, owners: readonly number[]): { pid: number; command: string }[] => {
	const running = processesMarked(mark);
	const owned = new Set(owners);
	for (;;) {
		const more = running.filter(({ pid, ppid }) => !owned.has(pid) && owned.has(ppid));
		if (more.length === 0) return running.filter(({ pid }) => !owned.has(pid));
		for (const { pid } of more) owned.add(pid);
	}
};

const noStrays = async (mark: string, owners: readonly number[]): Promise<{ pid: number; command: string }[]> => {
	await until('nothing is left over', () => (straysOf(mark, owners).length === 0 ? true : undefined), LEFT_OVER_MS, 200).catch(
		() => undefined,
	);
	return straysOf(mark, owners);
};

const judge = async (gateway: TestGateway, machines: Machine[], storm: Storm, mark: string): Promise<Outcome> => {
	// Engine processes whose node was killed have ended by themselves, while everything else still runs.
	const owners = [
		gateway.gateway.pid,
		...machines.flatMap((machine) => [...(machine.pid === undefined ? [] : [machine.pid]), ...machine.helpers]),
	];
	const strays = await noStrays(mark, owners);
	const { dir } = gateway.state;
	await Promise.all(machines.map((machine) => machine.stop()));
	await gateway.gateway.stop();
	const { jobs, ledger } = readWorkspaces(dir, new Map(storm.submitted.map((job) => [job.id, job.ws])));
	const violations = audit({
		submitted: storm.submitted,
		jobs,
		ledger,
		objects: readObjects(dir),
		live: readLive(dir),
		outboxes: machines.map((machine) => ({ node: machine.name, files: machine.outbox() })),
		orphans: [...strays, ...(await noStrays(mark, []))],
	});
	return { violations, jobs };
};

const ofKinds = (applied: readonly AppliedFault[], ...kinds: FaultKind[]): number =>
	applied.filter((fault) => kinds.includes(fault.kind)).length;

/** The floors of a full run: a storm that did not happen proves nothing. */
const tooCalm = (plan: ChaosPlan, storm: Storm, machines: Machine[]): string[] => {
	const full = plan.jobs.length >= FULL_JOBS;
	const dropped = machines.reduce((sum, machine) => sum + machine.proxy.counts.dropped, 0);
	const floors: [string, number, number][] = [
		['SIGKILL and SIGSTOP', ofKinds(storm.applied, 'kill', 'stop'), full ? 30 : 1],
		['kills of workerd', ofKinds(storm.applied, 'gateway'), full ? 5 : 1],
		['dropped sockets', dropped, full ? 20 : 1],
		['half-open links', ofKinds(storm.applied, 'halfOpen'), 1],
		['full disks', ofKinds(storm.applied, 'fullDisk'), 1],
		['spoiled uploads', machines.reduce((sum, machine) => sum + machine.proxy.counts.spoiled, 0), 1],
		['clock jumps', ofKinds(storm.applied, 'clock'), 1],
	];
	for (const [name, number, floor] of floors) console.log(`  ${name}: ${number} (at least ${floor})`);
	return floors
		.filter(([, number, floor]) => number < floor)
		.map(([name, number, floor]) => `only ${number} ${name}, at least ${floor} are needed`);
};

interface ChaosRun {
	mark: string;
	dir: string;
	host: string;
	plan: ChaosPlan;
	machines: Machine[];
}

const report = (plan: ChaosPlan, storm: Storm, machines: Machine[], { violations, jobs }: Outcome): void => {
	console.log('\nFaults that happened:');
	violations.push(...tooCalm(plan, storm, machines));
	reportRegrants(jobs, storm.applied);
	const pictures = jobs.reduce((sum, job) => sum + job.images.length, 0);
	console.log(`\n${jobs.length} jobs (${listed(count(jobs, (job) => job.state))}), ${pictures} pictures`);
	const failed = jobs.filter((job) => job.state === 'failed');
	if (failed.length > 0) console.log(`failed as: ${listed(count(failed, (job) => job.error?.class ?? 'nothing'))}`);
	for (const note of [...storm.notes, ...machines.flatMap((machine) => machine.surprises)]) console.log(`note: ${note}`);
	for (const violation of violations) console.log(`VIOLATION: ${violation}`);
};

const play = async ({ mark, dir, host, plan, machines }: ChaosRun): Promise<string[]> => {
	const state = openState(join(dir, 'state'));
	const tenants = await makeTenants(state);
	const gateway = new TestGateway(state, await startGateway({ root: projectRoot(), state, host: '127.0.0.1', port: 0, vars: VARS }));
	try {
		await makeMachines(gateway, dir, host, machines);
		const where = namespaced() ? 'network namespaces and small disks' : 'proxies that stop forwarding and writes that fail';
		console.log(`${plan.jobs.length} jobs, ${plan.faults.length} faults in ${Math.round(plan.stormMs / 1000)} s, with ${where}`);
		const storm = new Storm(gateway, machines, tenants);
		await storm.run(plan);
		console.log('the storm is over; now everything must come to its end');
		await drain(gateway, machines, storm);
		const outcome = await judge(gateway, machines, storm, mark);
		report(plan, storm, machines, outcome);
		return outcome.violations;
	} finally {
		for (const machine of machines) machine.kill(true);
		await gateway.gateway.stop();
	}
};

const run = async (seed: number, jobs: number, keep: boolean): Promise<number> => {
	const id = randomUUID();
	process.env['CHAOS_RUN'] = id;
	const began = performance.now();
	const dir = mkdtempSync(join(tmpdir(), 'limner-chaos-'));
	const machines: Machine[] = [];
	const host = openNetwork();
	try {
		const plan = planChaos({ seed, jobs, nodes: NODES, workspaces: WORKSPACES.length });
		const violations = await play({ mark: `CHAOS_RUN=${id}`, dir, host, plan, machines });
		const time = Math.round((performance.now() - began) / 1000);
		console.log(violations.length === 0 ? `the audit found nothing wrong (${time} s)` : `${violations.length} violations (${time} s)`);
		return violations.length === 0 ? 0 : 1;
	} finally {
		for (const machine of keep ? [] : machines) machine.remove();
		if (keep) console.log(`state: ${dir}`);
		else rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
	}
};

const { values } = parseArgs({
	options: {
		seed: { type: 'string', default: '1' },
		jobs: { type: 'string', default: String(FULL_JOBS) },
		keep: { type: 'boolean', default: false },
		kills: { type: 'string' },
		help: { type: 'boolean', short: 'h', default: false },
	},
});
if (values.help) {
	console.log(HELP);
	process.exit(0);
}
if (values.kills !== undefined) process.exit(await measureKills(Number(values.kills)));
process.exit((await enterNamespaces()) ?? (await run(Number(values.seed), Number(values.jobs), values.keep)));

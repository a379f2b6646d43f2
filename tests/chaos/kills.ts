/**
 * How long a picture waits when the process that makes it is killed, while other nodes stand by with free slots: from
 * SIGKILL to the next grant, and to the moment when an engine elsewhere begins. Nothing else goes on meanwhile, so the
 * time is the pool's own: the socket that closes, the second in which its node may come back, the grant, the start.
 * @module
 */
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type EngineEvent, type TestNode } from '../lib/node.ts';
import { sleep, until } from '../lib/until.ts';
import { percentile, table } from '../load/stats.ts';

const NODES = 3;
const STEPS = 80;
const STEP_MS = 100;
/** Design section 9: "node killed → running elsewhere", closed socket. */
const TARGET_MS = 2000;
/** A victim works for so long before it dies. */
const WORK_MS = 300;
const POLL_MS = 10;

interface Kill {
	grantMs: number;
	startMs: number;
	/** Its engine processes died with it; else they noticed by themselves. */
	family: boolean;
}

const startOf = (nodes: readonly TestNode[], jobId: string, epoch: number): { node: TestNode; event: EngineEvent } | undefined => {
	for (const node of nodes) {
		const event = node.engineLog().findLast((each) => each.jobId === jobId && each.epoch === epoch && each.event === 'start');
		if (event !== undefined) return { node, event };
	}
	return undefined;
};

/** One picture, one kill, one measurement. */
const killOnce = async (gateway: TestGateway, nodes: readonly TestNode[], family: boolean): Promise<{ kill: Kill; victim: TestNode }> => {
	const job = await gateway.submit({ prompt: 'a lighthouse', seed: 1, steps: STEPS });
	const { node: victim } = await until('a node works on it', () => startOf(nodes, job.id, 1), 30_000, POLL_MS);
	await sleep(WORK_MS);
	const at = Date.now();
	if (family) await victim.kill();
	else victim.process.kill('SIGKILL');
	const { event } = await until('another node works on it', () => startOf(nodes, job.id, 2), 30_000, POLL_MS);
	const { history } = await gateway.job(job.id);
	const granted = history.find((entry) => entry.type === 'assigned' && entry.epoch === 2);
	if (granted === undefined) throw new Error(`${job.id} runs elsewhere without a grant`);
	await gateway.api('POST', `/api/v1/jobs/${job.id}/cancel`);
	await gateway.jobEnded(job.id);
	return { kill: { grantMs: granted.at - at, startMs: event.at - at, family }, victim };
};

const allFree = async (gateway: TestGateway): Promise<void> => {
	const free = async (): Promise<true | undefined> => {
		const online = (await gateway.workers()).filter(({ link }) => link === 'online');
		return online.length === NODES && online.every(({ slots }) => slots.every(({ state }) => state === 'IDLE')) ? true : undefined;
	};
	await until('all nodes stand by', free, 60_000, 100);
};

const report = (kills: readonly Kill[]): void => {
	const rows = [true, false].flatMap((family) => {
		const some = kills.filter((kill) => kill.family === family);
		const who = family ? 'node and engines' : 'node alone';
		return (['grantMs', 'startMs'] as const).map((what) => {
			const times = some.map((kill) => kill[what]);
			const cells = [0.5, 0.95, 1].map((share) => (percentile(times, share) / 1000).toFixed(2));
			return [who, what === 'grantMs' ? 'next grant' : 'running elsewhere', String(times.length), ...cells];
		});
	});
	console.log('\nFrom SIGKILL, in seconds; a slot stood free all the time.\n');
	console.log(table(['killed', 'until', 'times', 'p50', 'p95', 'max'], rows));
};

/** Kills so many nodes at work, each while two others stand by. Answers the exit code: 1 when the target is missed. */
export const measureKills = async (count: number): Promise<number> => {
	if (!Number.isInteger(count) || count < 1) {
		console.error('chaos: --kills must be a whole number of at least 1.');
		return 2;
	}
	const gateway = await startTestGateway();
	const nodes: TestNode[] = [];
	try {
		for (let i = 0; i < NODES; i++) nodes.push(await startTestNode(gateway, { name: `spare-${i}`, stepMs: STEP_MS }));
		const kills: Kill[] = [];
		while (kills.length < count) {
			await allFree(gateway);
			const { kill, victim } = await killOnce(gateway, nodes, kills.length % 2 === 0);
			kills.push(kill);
			await until('it is dead', () => (victim.exited ? true : undefined));
			nodes[nodes.indexOf(victim)] = await startTestNode(gateway, { ...victim.options, stateDir: victim.stateDir });
		}
		report(kills);
		const p95 = percentile(
			kills.map(({ startMs }) => startMs),
			0.95,
		);
		const verdict = p95 <= TARGET_MS ? 'held' : 'MISSED';
		console.log(`\nrunning elsewhere: p95 ${(p95 / 1000).toFixed(2)} s of ${kills.length}, target ${TARGET_MS / 1000} s: ${verdict}`);
		return p95 <= TARGET_MS ? 0 : 1;
	} finally {
		await Promise.all(nodes.map((node) => node.stop()));
		await gateway.stop();
	}
};

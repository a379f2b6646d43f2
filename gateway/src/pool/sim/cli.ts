/**
 * `npm run sim`: plays seeded worlds and stops at the first violation, with a short script that leads to it.
 * @module
 */
import { parseArgs } from 'node:util';
import { comparePolicies, policyTable } from './policy-report.ts';
import { WORKLOADS } from './workloads.ts';
import { ALL_FAULTS, FAULTS, type FaultName } from './fates.ts';
import { play, scriptLines, shrink, type RunResult } from './runs.ts';
import type { WorldOptions } from './world.ts';

const HELP = `Plays the pool's production core in simulated worlds.

  npm run sim -- [--seeds 200] [--from 1] [--nodes 5] [--tasks 90] [--faults all|none|a,b,c] [--storm SECONDS] [--shrink SECONDS] [--soak] [--quiet]

  --seeds    number of worlds, one for each seed, beginning with --from
  --nodes    nodes in each world
  --tasks    pictures that are wanted in each world
  --storm    virtual seconds in which jobs arrive and faults happen (60)
  --shrink   seconds to look for a short script after a violation (30)
  --soak     goes on with the next seed until it is stopped
  --quiet    prints the sum only
  --policy   compares the pool with "first puller wins" on five workloads instead; --seeds worlds each (20)
  --faults   all (default), none, or some of:
${Object.entries(FAULTS)
	.map(([name, text]) => `             ${name.padEnd(12)} ${text}`)
	.join('\n')}
`;

interface Plan {
	seeds: number;
	from: number;
	soak: boolean;
	quiet: boolean;
	/** Number of seeds of the comparison of policies, instead of everything else. */
	policySeeds: number | null;
	shrinkMs: number;
	world: Omit<WorldOptions, 'seed'>;
}

class UsageError extends Error {}

const whole = (name: string, text: string, min: number): number => {
	const value = Number(text);
	if (!Number.isInteger(value) || value < min) throw new UsageError(`--${name} must be a whole number of at least ${min}, not "${text}".`);
	return value;
};

const faultsOf = (text: string): ReadonlySet<FaultName> => {
	if (text === 'all') return ALL_FAULTS;
	if (text === 'none') return new Set();
	const names = text.split(',').map((each) => each.trim());
	const unknown = names.filter((each) => !Object.hasOwn(FAULTS, each));
	if (unknown.length > 0) throw new UsageError(`There is no fault "${unknown[0]}"; there are: ${Object.keys(FAULTS).join(', ')}.`);
	return new Set(names as FaultName[]);
};

const readPlan = (args: string[]): Plan | undefined => {
	const { values } = parseArgs({
		args,
		options: {
			seeds: { type: 'string' },
			from: { type: 'string', default: '1' },
			nodes: { type: 'string', default: '5' },
			tasks: { type: 'string', default: '90' },
			faults: { type: 'string', default: 'all' },
			storm: { type: 'string', default: '60' },
			shrink: { type: 'string', default: '30' },
			soak: { type: 'boolean', default: false },
			quiet: { type: 'boolean', default: false },
			policy: { type: 'boolean', default: false },
			help: { type: 'boolean', short: 'h', default: false },
		},
	});
	if (values.help) return undefined;
	return {
		seeds: whole('seeds', values.seeds ?? '200', 1),
		from: whole('from', values.from, 0),
		soak: values.soak,
		quiet: values.quiet,
		policySeeds: values.policy ? whole('seeds', values.seeds ?? '20', 1) : null,
		shrinkMs: whole('shrink', values.shrink, 0) * 1000,
		world: {
			nodes: whole('nodes', values.nodes, 1),
			tasks: whole('tasks', values.tasks, 1),
			faults: faultsOf(values.faults),
			stormMs: whole('storm', values.storm, 1) * 1000,
		},
	};
};

const statesOf = ({ world }: RunResult): Record<string, number> => {
	const counts: Record<string, number> = {};
	for (const { state } of world.cloud.rows.values()) counts[state] = (counts[state] ?? 0) + 1;
	return counts;
};

const words = (counts: Record<string, number>): string =>
	Object.entries(counts)
		.toSorted(([a], [b]) => (a < b ? -1 : 1))
		.map(([name, count]) => `${count} ${name}`)
		.join(', ');

const summary = (result: RunResult): string => {
	const { world, seed } = result;
	const actions = world.fates.happened.filter(({ name }) => !name.includes(':')).length;
	const faults = world.fates.happened.length - actions;
	return `seed ${seed}: ${world.shell.steps} steps, ${world.watch.grants} grants, ${faults} faults, ${world.shell.evictions} evictions; jobs ${words(statesOf(result))}`;
};

const report = (plan: Plan, result: RunResult): void => {
	console.log(`\nVIOLATION with seed ${result.seed}, ${(result.atMs / 1000).toFixed(3)} virtual seconds in:\n  ${result.violation}`);
	console.log(`\nLooking for a shorter script (${result.world.fates.happened.length} things happened) …`);
	const found = shrink({ ...plan.world, seed: result.seed }, result, plan.shrinkMs);
	console.log(`Shortest script after ${found.tried} tries; it ends with\n  ${found.violation}\n`);
	console.log(scriptLines(found.script).join('\n'));
	const faults = [...plan.world.faults].join(',') || 'none';
	const { nodes, tasks, stormMs } = plan.world;
	console.log(
		`\nAgain: npm run sim -- --from ${result.seed} --seeds 1 --nodes ${nodes} --tasks ${tasks} --storm ${stormMs / 1000} --faults ${faults}`,
	);
};

const run = (plan: Plan): number => {
	const startedAt = performance.now();
	let steps = 0;
	let grants = 0;
	const states: Record<string, number> = {};
	for (let i = 0; plan.soak || i < plan.seeds; i++) {
		const result = play({ ...plan.world, seed: plan.from + i });
		steps += result.world.shell.steps;
		grants += result.world.watch.grants;
		for (const [state, count] of Object.entries(statesOf(result))) states[state] = (states[state] ?? 0) + count;
		if (!plan.quiet) console.log(summary(result));
		if (plan.seeds === 1 && !plan.soak) for (const line of result.world.shell.timings.lines()) console.log(`  ${line}`);
		if (result.violation !== null) {
			report(plan, result);
			return 1;
		}
	}
	const seconds = (performance.now() - startedAt) / 1000;
	const peak = Math.round(process.resourceUsage().maxRSS / 1024);
	console.log(
		`${plan.seeds} seeds, ${steps} steps, ${grants} grants, jobs ${words(states)}: every invariant held (${seconds.toFixed(1)} s, ${peak} MiB)`,
	);
	return 0;
};

const runPolicies = (seeds: number): number => {
	console.log(`Pool / puller, median (least … most) of ${seeds} seeds; below 1 the pool is better.\n`);
	console.log(policyTable(comparePolicies(seeds)).join('\n'));
	console.log(`\n${WORKLOADS.map(({ name, about }) => `${name}: ${about}`).join('\n')}`);
	return 0;
};

const main = (): number => {
	try {
		const plan = readPlan(process.argv.slice(2));
		if (plan !== undefined) return plan.policySeeds === null ? run(plan) : runPolicies(plan.policySeeds);
		console.log(HELP);
		return 0;
	} catch (error) {
		const usage = error instanceof UsageError || (error instanceof TypeError && 'code' in error);
		if (!usage) throw error;
		console.error(`sim: ${error.message} See npm run sim -- --help.`);
		return 2;
	}
};

process.exit(main());

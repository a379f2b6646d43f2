/**
 * `npm run modelcheck`: explores everything that can happen in a small system.
 * @module
 */
import { parseArgs } from 'node:util';
import { explore, type Bounds } from './explore.ts';

const HELP = `Explores everything that can happen to a small pool, with the production functions.

  npm run modelcheck -- [--world pictures|care] [--nodes 2] [--tasks 2] [--faults N] [--limit SECONDS]

Two worlds, one after the other unless one is named: pictures, and tasks that look after the pool (a model moves, a node looks
at itself, a model is pulled) with a model source that may be out of reach. Two faults in the first,
one in the second, where there is more to interleave, unless --faults says otherwise.

Ends with 1 when an invariant breaks, when the limit came before the end, or when fewer states were found than on record.
`;

/** A little below what was found when this was last explored (nodes, tasks, faults). Fewer means that behaviour was lost. */
const FLOORS: Record<World, Record<string, number>> = {
	pictures: { '2 2 0': 150, '2 2 1': 8500, '2 2 2': 282_000 },
	care: { '2 2 0': 280, '2 2 1': 20_200 },
};

type World = 'pictures' | 'care';
const WORLDS: readonly World[] = ['pictures', 'care'];
const FAULTS: Record<World, number> = { pictures: 2, care: 1 };

class UsageError extends Error {}

const whole = (name: string, text: string): number => {
	const value = Number(text);
	if (!Number.isInteger(value) || value < 0) throw new UsageError(`--${name} must be a whole number, not "${text}".`);
	return value;
};

interface Plan {
	worlds: readonly World[];
	faults: number | undefined;
	bounds: Omit<Bounds, 'care' | 'faults'>;
}

const worldsOf = (name: string | undefined): readonly World[] => {
	const found = WORLDS.filter((world) => name === undefined || world === name);
	if (found.length === 0) throw new UsageError(`There is no world "${name}"; there are: ${WORLDS.join(', ')}.`);
	return found;
};

const readPlan = (args: string[]): Plan | undefined => {
	const { values } = parseArgs({
		args,
		options: {
			world: { type: 'string' },
			nodes: { type: 'string', default: '2' },
			tasks: { type: 'string', default: '2' },
			faults: { type: 'string' },
			limit: { type: 'string', default: '900' },
			help: { type: 'boolean', short: 'h', default: false },
		},
	});
	if (values.help) return undefined;
	const budgetMs = whole('limit', values.limit) * 1000;
	const faults = values.faults === undefined ? undefined : whole('faults', values.faults);
	const bounds = { nodes: whole('nodes', values.nodes), tasks: whole('tasks', values.tasks), budgetMs };
	return { worlds: worldsOf(values.world), faults, bounds };
};

const check = (world: World, bounds: Bounds): number => {
	const { nodes, tasks, faults } = bounds;
	console.log(`${world}: ${nodes} nodes, ${tasks} ${world === 'pictures' ? 'tasks' : 'jobs'}, ${faults} faults`);
	const found = explore(bounds, (states, frontier, depth) => console.log(`  depth ${depth}: ${states} states, frontier ${frontier}`));
	const peak = Math.round(process.resourceUsage().maxRSS / 1024);
	const { states, edges, depth, done, seconds } = found;
	console.log(`${states} states, ${edges} transitions, depth ${depth}, ${done} of them ended (${seconds.toFixed(1)} s, ${peak} MiB)`);
	if (found.violation !== undefined) {
		console.log(
			`\nVIOLATION: ${found.violation.message}\n${found.violation.trace.map((name, i) => `${String(i + 1).padStart(3)}. ${name}`).join('\n')}`,
		);
		return 1;
	}
	if (!found.frontierEmpty) {
		console.log('TRUNCATED: the limit came before the frontier was empty; give more time with --limit.');
		return 1;
	}
	console.log('frontier empty');
	const floor = FLOORS[world][`${nodes} ${tasks} ${faults}`] ?? 0;
	if (states < floor) {
		console.log(`TOO FEW STATES: on record are ${floor}. The model or the pool has lost behaviour.`);
		return 1;
	}
	console.log(floor === 0 ? 'every invariant held' : `every invariant held; at least the ${floor} states on record`);
	return 0;
};

const checkAll = ({ worlds, faults, bounds }: Plan): number =>
	Math.max(...worlds.map((world) => check(world, { ...bounds, faults: faults ?? FAULTS[world], care: world === 'care' })));

const main = (): number => {
	try {
		const plan = readPlan(process.argv.slice(2));
		if (plan !== undefined) return checkAll(plan);
		console.log(HELP);
		return 0;
	} catch (error) {
		const usage = error instanceof UsageError || (error instanceof TypeError && 'code' in error);
		if (!usage) throw error;
		console.error(`modelcheck: ${error.message} See npm run modelcheck -- --help.`);
		return 2;
	}
};

process.exit(main());

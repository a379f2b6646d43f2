/**
 * `npm run modelcheck`: explores everything that can happen in a small system.
 * @module
 */
import { parseArgs } from 'node:util';
import { explore, type Bounds } from './explore.ts';

const HELP = `Explores everything that can happen to a small pool, with the production functions.

  npm run modelcheck -- [--nodes 2] [--tasks 2] [--faults 2] [--limit SECONDS]

Ends with 1 when an invariant breaks, when the limit came before the end, or when fewer states were found than on record.
`;

/** A little below what was found when this was last explored (nodes, tasks, faults). Fewer means that behaviour was lost. */
const FLOORS: Record<string, number> = { '2 2 0': 150, '2 2 1': 8500, '2 2 2': 282_000 };

class UsageError extends Error {}

const whole = (name: string, text: string): number => {
	const value = Number(text);
	if (!Number.isInteger(value) || value < 0) throw new UsageError(`--${name} must be a whole number, not "${text}".`);
	return value;
};

const readBounds = (args: string[]): Bounds | undefined => {
	const { values } = parseArgs({
		args,
		options: {
			nodes: { type: 'string', default: '2' },
			tasks: { type: 'string', default: '2' },
			faults: { type: 'string', default: '2' },
			limit: { type: 'string', default: '900' },
			help: { type: 'boolean', short: 'h', default: false },
		},
	});
	if (values.help) return undefined;
	const budgetMs = whole('limit', values.limit) * 1000;
	return { nodes: whole('nodes', values.nodes), tasks: whole('tasks', values.tasks), faults: whole('faults', values.faults), budgetMs };
};

const check = (bounds: Bounds): number => {
	const { nodes, tasks, faults } = bounds;
	console.log(`${nodes} nodes, ${tasks} tasks, ${faults} faults`);
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
	const floor = FLOORS[`${nodes} ${tasks} ${faults}`] ?? 0;
	if (states < floor) {
		console.log(`TOO FEW STATES: on record are ${floor}. The model or the pool has lost behaviour.`);
		return 1;
	}
	console.log(floor === 0 ? 'every invariant held' : `every invariant held; at least the ${floor} states on record`);
	return 0;
};

const main = (): number => {
	try {
		const bounds = readBounds(process.argv.slice(2));
		if (bounds !== undefined) return check(bounds);
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

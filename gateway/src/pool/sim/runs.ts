/**
 * One run of a world from storm to rest, judged, and its shrinking to a short script.
 * @module
 */
import { isTerminal, makesReport } from '@limner/shared';
import * as fc from 'fast-check';
import type { Happening } from './fates.ts';
import { START, World, type WorldOptions } from './world.ts';

/** Longer than every back-off, lease and retention of the pool together. */
export const CALM_MS = 900_000;

export interface RunResult {
	seed: number;
	world: World;
	/** The first thing that was wrong; null = everything held. */
	violation: string | null;
	/** Virtual time of the violation, in milliseconds since the start. */
	atMs: number;
}

const must = (holds: boolean, text: () => string): void => {
	if (!holds) throw new Error(`audit: ${text()}`);
};

const auditJobs = (world: World): void => {
	for (const [id, { job }] of world.callers.submitted) {
		const row = world.cloud.rows.get(id);
		must(row !== undefined && isTerminal('job', row.state), () => `${id} never ended`);
		if (row === undefined) continue;
		must(row.usage?.images === row.images.length, () => `${id} charges ${row.usage?.images} pictures and has ${row.images.length}`);
		const results = makesReport(job.spec.taskType ?? 'GENERAL')
			? row.hist.filter(({ type }) => type === 'result').length
			: row.images.length;
		must(row.state !== 'succeeded' || results === job.spec.n, () => `${id} succeeded with a picture or report missing`);
		must(!world.callers.canceled.has(id) || row.state === 'canceled', () => `${id} was canceled and is ${row.state}`);
		for (const image of row.images) {
			const accepted = world.watch.accepted.get(`${id}/${image.index}`) ?? image.key;
			must(accepted === image.key, () => `${id}/${image.index} is ${image.key}, its node was told ${accepted}`);
			must(world.cloud.objects.has(image.key), () => `the object of ${id}/${image.index} is gone`);
		}
	}
};

/** What must be true once everything has come to rest. */
export const audit = (world: World): void => {
	auditJobs(world);
	for (const place of world.watch.accepted.keys()) {
		const [id, index] = place.split('/');
		const images = world.cloud.rows.get(id ?? '')?.images ?? [];
		must(
			images.some((image) => image.index === Number(index)),
			() => `${place} was accepted and lost`,
		);
	}
	for (const [place, key] of world.watch.reports) {
		const hist = world.cloud.rows.get(place.split('/')[0] ?? '')?.hist ?? [];
		must(
			hist.some((entry) => entry['key'] === key),
			() => `the report of ${place} was accepted and lost`,
		);
	}
	const charged = [...world.cloud.charged.values()].reduce((sum, each) => sum + each, 0);
	const pictures = [...world.cloud.rows.values()].reduce((sum, row) => sum + row.images.length, 0);
	must(charged === pictures, () => `${charged} pictures are charged and ${pictures} exist`);
	for (const [ws, open] of world.cloud.open) must(open === 0, () => `${ws} counts ${open} open jobs`);
	must(world.shell.state.jobs.size === 0, () => `${world.shell.state.jobs.size} jobs are left in memory`);
	must(world.shell.rows.size === 0, () => `${world.shell.rows.size} rows are left`);
	must(world.shell.state.backlog === 0, () => 'tasks still wait');
};

/** Plays a world to its end or to its first violation. */
export const play = (options: WorldOptions): RunResult => {
	const world = new World(options);
	let violation: string | null = null;
	try {
		world.run(options.stormMs);
		world.calm(CALM_MS);
		audit(world);
	} catch (error) {
		if (!(error instanceof Error)) throw error;
		violation = error.message;
	}
	return { seed: options.seed, world, violation, atMs: world.clock.now - START };
};

/** Two messages tell of the same violation when they differ in ids and numbers only. */
export const sameKind = (a: string | null, b: string | null): boolean => a !== null && b !== null && bare(a) === bare(b);
const bare = (message: string): string =>
	message
		.replaceAll(/(job|node)_\w+/g, '$1')
		.replaceAll(/[^ ]*\/[^ ]*/g, 'place')
		.replaceAll(/\d+/g, '0')
		.slice(0, 60);

export interface Shrunk {
	script: Happening[];
	violation: string;
	/** Worlds played meanwhile. */
	tried: number;
}

/** Of the time for shrinking, what large parts are left out in. */
const COARSE_SHARE = 0.7;

/**
 * Leaves out things that happened, as long as the same violation comes. Chance goes by name, so what is left happens as it
 * did before. Large parts go first, by delta debugging; then fast-check takes out what it can, one thing after another: it
 * begins at one end, which alone would take long where much happened.
 * @param budgetMs wall-clock milliseconds after which the shortest script so far is taken
 */
export const shrink = (options: WorldOptions, failed: RunResult, budgetMs: number): Shrunk => {
	let best = { script: [...failed.world.fates.happened], violation: failed.violation ?? '' };
	let tried = 0;
	const fails = (names: readonly string[]): boolean => {
		tried++;
		const result = play({ ...options, script: new Set(names) });
		if (!sameKind(result.violation, failed.violation)) return false;
		if (result.world.fates.happened.length <= best.script.length)
			best = { script: result.world.fates.happened, violation: result.violation ?? '' };
		return true;
	};
	const names = (): string[] => [...new Set(best.script.map(({ name }) => name))];
	leaveOutParts(names, fails, Date.now() + budgetMs * COARSE_SHARE);
	const left = names();
	// It begins with what is known to fail, and only shrinks from there.
	const examples: [string[]][] = [[left]];
	const plan = { numRuns: 1, examples, interruptAfterTimeLimit: budgetMs * (1 - COARSE_SHARE), markInterruptAsFailure: false };
	fc.check(
		fc.property(fc.subarray(left), (some) => !fails(some)),
		plan,
	);
	return { ...best, tried };
};

/** Delta debugging down to single things. */
const leaveOutParts = (now: () => string[], fails: (names: readonly string[]) => boolean, until: number): void => {
	let names = now();
	let size = Math.ceil(names.length / 2);
	while (size >= 1 && Date.now() < until) {
		let smaller = false;
		for (let from = 0; from < names.length && Date.now() < until; from += smaller ? 0 : size) {
			smaller = fails([...names.slice(0, from), ...names.slice(from + size)]);
			if (smaller) names = now();
		}
		if (size === 1) return;
		size = Math.ceil(size / 2);
	}
};

/** A script as lines of text. */
export const scriptLines = (script: readonly Happening[]): string[] =>
	script
		.toSorted((a, b) => a.at - b.at)
		.map(({ at, name, detail }) => `+${(at / 1000).toFixed(3).padStart(8)} s  ${name}${detail === undefined ? '' : ` (${detail})`}`);

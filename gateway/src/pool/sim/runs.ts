/**
 * One run of a world from storm to rest, judged, and its shrinking to a short script.
 * @module
 */
import { isTerminal } from '@limner/shared';
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
	for (const [id, { job }] of world.submitted) {
		const row = world.cloud.rows.get(id);
		must(row !== undefined && isTerminal('job', row.state), () => `${id} never ended`);
		if (row === undefined) continue;
		must(row.usage?.images === row.images.length, () => `${id} charges ${row.usage?.images} pictures and has ${row.images.length}`);
		must(row.state !== 'succeeded' || row.images.length === job.spec.n, () => `${id} succeeded with a picture missing`);
		must(!world.canceled.has(id) || row.state === 'canceled', () => `${id} was canceled and is ${row.state}`);
		for (const image of row.images) {
			const accepted = world.accepted.get(`${id}/${image.index}`) ?? image.key;
			must(accepted === image.key, () => `${id}/${image.index} is ${image.key}, its node was told ${accepted}`);
			must(world.cloud.objects.has(image.key), () => `the object of ${id}/${image.index} is gone`);
		}
	}
};

/** What must be true once everything has come to rest. */
export const audit = (world: World): void => {
	auditJobs(world);
	for (const place of world.accepted.keys()) {
		const [id, index] = place.split('/');
		const images = world.cloud.rows.get(id ?? '')?.images ?? [];
		must(
			images.some((image) => image.index === Number(index)),
			() => `${place} was accepted and lost`,
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

/**
 * Delta debugging: leaves out ever smaller parts of what happened, as long as the same violation comes.
 * @param budgetMs wall-clock milliseconds after which the shortest script so far is taken
 */
export const shrink = (options: WorldOptions, failed: RunResult, budgetMs: number): Shrunk => {
	const until = Date.now() + budgetMs;
	const wanted = failed.violation;
	let best = { script: [...failed.world.fates.happened], violation: failed.violation ?? '' };
	let tried = 0;
	const attempt = (names: string[]): boolean => {
		tried++;
		const result = play({ ...options, script: new Set(names) });
		if (!sameKind(result.violation, wanted)) return false;
		best = { script: result.world.fates.happened, violation: result.violation ?? '' };
		return true;
	};
	let parts = 2;
	while (Date.now() < until && parts <= Math.max(2, best.script.length)) {
		const names = best.script.map((each) => each.name);
		const size = Math.ceil(names.length / parts);
		let smaller = false;
		for (let from = 0; from < names.length && !smaller && Date.now() < until; from += size)
			smaller = attempt([...names.slice(0, from), ...names.slice(from + size)]);
		if (smaller) parts = Math.max(2, parts - 1);
		else if (size === 1) break;
		else parts = Math.min(names.length, parts * 2);
	}
	return { ...best, tried };
};

/** A script as lines of text. */
export const scriptLines = (script: readonly Happening[]): string[] =>
	script
		.toSorted((a, b) => a.at - b.at)
		.map(({ at, name, detail }) => `+${(at / 1000).toFixed(3).padStart(8)} s  ${name}${detail === undefined ? '' : ` (${detail})`}`);

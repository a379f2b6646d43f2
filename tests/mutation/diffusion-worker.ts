/**
 * Judges copies of the samplers and of the noise generator, one after another, inside one thread.
 * @module
 */
import { pathToFileURL } from 'node:url';
import { parentPort } from 'node:worker_threads';
import { readReferenceJson } from '../reference/compare.ts';
import {
	checkRules,
	failed,
	replayFormulas,
	replayNoise,
	replayRun,
	type Check,
	type ExtraFile,
	type Implementation,
	type NoiseFile,
	type Run,
} from '../reference/replay.ts';

const runs = readReferenceJson('schedulers.json') as Run[];
const noise = readReferenceJson('noise.json') as NoiseFile;
const extra = readReferenceJson('extra/extra.json') as ExtraFile;

const load = async (dir: string): Promise<Implementation> => {
	const part = (name: string): Promise<unknown> => import(pathToFileURL(`${dir}/${name}.mjs`).href);
	return {
		noise: (await part('noise')) as Implementation['noise'],
		beta: (await part('schedulers/beta-distribution')) as Implementation['beta'],
		flow: (await part('schedulers/flow_euler')) as Implementation['flow'],
		schedulers: (await part('schedulers/index')) as Implementation['schedulers'],
		betas: (await part('schedulers/betas')) as Implementation['betas'],
	};
};

/** The first check that fails, in words; undefined when all pass. */
const verdict = (implementation: Implementation): string | undefined => {
	const groups: [string, () => Check[]][] = [
		['noise', () => replayNoise(implementation, noise)],
		['formulas', () => replayFormulas(implementation, extra)],
		['rules', () => checkRules(implementation)],
		...[...runs, ...extra.runs].map((run): [string, () => Check[]] => [run.id, () => replayRun(implementation, run)]),
	];
	for (const [name, make] of groups) {
		const bad = make().find(failed);
		if (bad !== undefined) return `${name}: ${bad.what}`;
	}
	return undefined;
};

const judge = async (dir: string): Promise<string | undefined> => {
	try {
		return verdict(await load(dir));
	} catch (error) {
		return `threw: ${error instanceof Error ? error.message : String(error)}`;
	}
};

parentPort?.on('message', (dir: string) => {
	void judge(dir).then((caught) => parentPort?.postMessage({ dir, caught }, []));
});

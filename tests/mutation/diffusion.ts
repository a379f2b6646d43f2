/**
 * `npm run test:mutation -- diffusion`: changes every numeric literal, every sign and every draw in
 * node-agent/src/diffusion/schedulers and noise.ts, one at a time in a copy in a temporary folder, and lets the
 * reference replays judge each copy. Lists the survivors; ends non-zero below the target. `--only TEXT` keeps mutants
 * whose file name contains it.
 * @module
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { mutantsOf, type Mutant } from './diffusion-mutants.ts';

const SOURCE = fileURLToPath(new URL('../../node-agent/src/diffusion', import.meta.url));
const TARGET = 0.95;
/** A whole judgement takes well under a second; what runs longer than this loops for ever. */
const TIMEOUT_MS = 20_000;
/** Modules are never unloaded, so a thread judges this many copies and is then replaced. */
const COPIES_PER_THREAD = 120;

const files = [
	...readdirSync(join(SOURCE, 'schedulers'))
		.filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
		.map((name) => `schedulers/${name}`),
	'noise.ts',
];
/** What the mutated files import beside each other. */
const HELPERS = ['vector.ts', 'errors.ts'];

/** A file as JavaScript whose lines and columns are those of the source. */
const toJavaScript = (name: string): string =>
	stripTypeScriptTypes(readFileSync(join(SOURCE, name), 'utf8')).replaceAll(/(from '\.[^']*)\.ts'/g, "$1.mjs'");

const sources = new Map([...files, ...HELPERS].map((name) => [name, toJavaScript(name)]));

const writeCopy = (dir: string, mutant?: Mutant): void => {
	for (const [name, text] of sources) {
		const path = join(dir, name.replace(/\.ts$/, '.mjs'));
		mkdirSync(dirname(path), { recursive: true });
		writeFileSync(path, mutant?.file === name ? mutant.text : text);
	}
};

/** A thread that judges copies; a copy that loops for ever costs the thread. */
class Judge {
	#worker: Worker | undefined;
	#judged = 0;

	async judge(dir: string): Promise<string | undefined> {
		if (this.#judged >= COPIES_PER_THREAD) await this.stop();
		this.#worker ??= new Worker(new URL('./diffusion-worker.ts', import.meta.url));
		this.#judged++;
		const worker = this.#worker;
		const outcome = await new Promise<string | undefined>((resolve, reject) => {
			const timer = setTimeout(() => resolve('did not end'), TIMEOUT_MS);
			worker.once('error', reject);
			worker.once('message', ({ caught }: { caught?: string }) => {
				clearTimeout(timer);
				worker.removeAllListeners('error');
				resolve(caught);
			});
			worker.postMessage(dir, []);
		});
		if (outcome === 'did not end') await this.stop();
		return outcome;
	}

	async stop(): Promise<void> {
		const worker = this.#worker;
		this.#worker = undefined;
		this.#judged = 0;
		await worker?.terminate();
	}
}

interface Verdict {
	mutant: Mutant;
	caught: string | undefined;
}

const judgeAll = async (mutants: readonly Mutant[], root: string): Promise<Verdict[]> => {
	const verdicts: Verdict[] = [];
	let next = 0;
	const work = async (): Promise<void> => {
		const judge = new Judge();
		for (let i = next++; i < mutants.length; i = next++) {
			const mutant = mutants[i] as Mutant;
			const dir = join(root, `m${i}`);
			writeCopy(dir, mutant);
			verdicts.push({ mutant, caught: await judge.judge(dir) });
			rmSync(dir, { recursive: true });
			if (verdicts.length % 100 === 0) console.error(`${verdicts.length} of ${mutants.length}`);
		}
		await judge.stop();
	};
	await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work));
	return verdicts;
};

const report = (verdicts: readonly Verdict[]): boolean => {
	const survivors = verdicts
		.filter((v) => v.caught === undefined)
		.map((v) => v.mutant)
		.toSorted((a, b) => a.file.localeCompare(b.file) || a.line - b.line);
	for (const file of files) {
		const of = verdicts.filter((v) => v.mutant.file === file);
		if (of.length > 0) console.log(`${file.padEnd(34)} ${of.filter((v) => v.caught !== undefined).length} of ${of.length}`);
	}
	const share = 1 - survivors.length / verdicts.length;
	console.log(`\nsurvivors:${survivors.length === 0 ? ' none' : ''}`);
	for (const { file, line, what } of survivors) console.log(`  ${file}:${line}  ${what}`);
	console.log(`\ncaught ${verdicts.length - survivors.length} of ${verdicts.length} mutants (${(100 * share).toFixed(1)} %), target 95 %`);
	return share >= TARGET;
};

const main = async (): Promise<number> => {
	const { values } = parseArgs({ options: { only: { type: 'string' } } });
	const mutants = files.filter((f) => f.includes(values.only ?? '')).flatMap((f) => mutantsOf(f, sources.get(f) as string));
	const root = mkdtempSync(join(tmpdir(), 'limner-mutants-'));
	try {
		const judge = new Judge();
		writeCopy(join(root, 'original'));
		const broken = await judge.judge(join(root, 'original'));
		await judge.stop();
		if (broken !== undefined) {
			console.error(`The unchanged code fails its own replay (${broken}); run npm run test:reference first.`);
			return 1;
		}
		return report(await judgeAll(mutants, root)) ? 0 : 1;
	} finally {
		rmSync(root, { recursive: true });
	}
};

process.exitCode = await main();

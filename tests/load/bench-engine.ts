/**
 * `npm run bench:engine`: the built-in engine against diffusers (PyTorch on the CPU) and optimum-onnx, on storybook: the
 * same weights, float32, DDIM, 20 steps, the same number of threads. Every round starts each engine's process afresh;
 * cold = from starting it to the end of the first step. Then all of them stay, and take turns at a batch of 1 and one of 4,
 * in another order each turn: shared machines change their speed by a third within minutes, so engines are compared by what they
 * needed within one turn, a second or two apart. Medians over rounds; a round's value is the median of its turns.
 *
 * The comparison needs Python: a virtual environment is made under node_modules/.cache/limner-bench, or
 * `LIMNER_BENCH_PYTHON` names one that has the packages. Without it nothing is compared: "not measured", and the exit
 * code is 1. `--rounds 5`, `--threads N`, `--model DIR`.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { commandOf, Peer, type BenchRequest, type BenchRun, type PeerName } from './bench-engine-peers.ts';
import { percentile, table } from './stats.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const VENV = join(ROOT, 'node_modules/.cache/limner-bench/venv');
const REQUIREMENTS = fileURLToPath(new URL('./bench-engine-requirements.txt', import.meta.url));
/** The processor build: the one on PyPI brings gigabytes of CUDA. */
const TORCH = ['torch==2.15.0', '--index-url', 'https://download.pytorch.org/whl/cpu'];
const CHECK = 'import torch, diffusers, scipy, onnx, optimum.onnxruntime';
const ENGINES: PeerName[] = ['limner', 'diffusers', 'optimum'];
const BATCHES = [1, 4];
/** Latents of different engines may differ by rounding only, or they do not compute the same. */
const SAME_WORK = 0.02;
const TARGET_OUTSIDE = 0.03;
/** Turns of each batch in a round. */
const TURNS = 3;
/** Time in which idle threads of the engine that just ended stop burning their cores: PyTorch's do for a while. */
const PAUSE_MS = 300;

/** Drawn at the model's native size, which `main` reads. */
const REQUEST = { prompt: 'a red castle in the mountains in the snow', steps: 20, guidance: 4, width: 0, height: 0, seed: 5 };

const succeeds = (command: string, args: string[], quiet = false): boolean =>
	spawnSync(command, args, { stdio: quiet ? 'ignore' : ['ignore', 'inherit', 'inherit'] }).status === 0;

/** A Python that has everything, made where needed; undefined when it cannot be had. */
const findPython = (): string | undefined => {
	const given = process.env['LIMNER_BENCH_PYTHON'];
	const python = given ?? join(VENV, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
	if (succeeds(python, ['-c', CHECK], true)) return python;
	if (given !== undefined) {
		console.error(`${given} lacks a package; it needs torch and those of ${REQUIREMENTS}.`);
		return undefined;
	}
	console.error(`Making a Python environment in ${VENV} (about 1 GB, once) …`);
	mkdirSync(VENV, { recursive: true });
	const base = process.platform === 'win32' ? 'python' : 'python3';
	if (!existsSync(python) && !succeeds(base, ['-m', 'venv', VENV])) return undefined;
	const pip = (...args: string[]): boolean => succeeds(python, ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', ...args]);
	if (!pip(...TORCH) && !pip('torch==2.15.0')) return undefined;
	return pip('-r', REQUIREMENTS) && succeeds(python, ['-c', CHECK]) ? python : undefined;
};

/** Everything measured of one engine, a list per quantity with an entry a round. */
interface Samples {
	coldMs: number[];
	rssMiB: number[];
	runs: Map<number, BenchRun[]>;
	latents: number[];
}

const emptySamples = (): Samples => ({ coldMs: [], rssMiB: [], runs: new Map(BATCHES.map((n) => [n, []])), latents: [] });

const ask = async (peer: Peer, n: number): Promise<BenchRun> => {
	await setTimeout(PAUSE_MS);
	return peer.run({ ...REQUEST, n } satisfies BenchRequest);
};

/** Starts an engine, while no other works, and lets it draw its first picture. */
const startPeer = async (peer: Peer, samples: Samples): Promise<void> => {
	await peer.ready();
	const readyMs = performance.now() - peer.startedAt;
	const first = await peer.run({ ...REQUEST, n: 1 });
	samples.coldMs.push(readyMs + first.firstStepMs);
	samples.latents = first.latents;
};

const turnAround = <T>(list: readonly T[], by: number): T[] => list.map((_, i) => list[(i + by) % list.length] as T);

/** One round: the engines started afresh, then turn by turn. */
const measureRound = async (
	round: number,
	all: ReadonlyMap<PeerName, Samples>,
	command: (name: PeerName) => [string, string[]],
): Promise<void> => {
	const peers: { peer: Peer; samples: Samples }[] = [];
	try {
		for (const [name, samples] of turnAround([...all], round)) {
			const peer = new Peer(...command(name));
			peers.push({ peer, samples });
			await startPeer(peer, samples);
		}
		for (const n of BATCHES) {
			// the first run of a shape takes memory, and ours is compared with a single picture
			for (const { peer } of n > 1 ? peers : []) await ask(peer, n);
			for (let turn = 0; turn < TURNS; turn++) {
				for (const { peer, samples } of turnAround(peers, turn)) samples.runs.get(n)?.push(await ask(peer, n));
			}
		}
		for (const { peer, samples } of peers) samples.rssMiB.push(peer.peakRssMiB());
	} finally {
		for (const { peer } of peers) await peer.stop();
	}
};

const median = (values: readonly number[]): number => percentile(values, 0.5);
/** Median over rounds of the median over a round's turns: `values` has TURNS entries a round. */
const overRounds = (values: readonly number[]): number =>
	median(Array.from({ length: values.length / TURNS }, (_, r) => median(values.slice(r * TURNS, (r + 1) * TURNS))));
/** How many times as long as ours an engine's runs took, turn by turn. */
const timesOurs = (all: ReadonlyMap<PeerName, Samples>, name: PeerName, n: number): number => {
	const ours = all.get('limner')?.runs.get(n) ?? [];
	return overRounds((all.get(name)?.runs.get(n) ?? []).map((run, i) => run.totalMs / (ours[i]?.totalMs ?? Number.NaN)));
};
const shown = (value: number): string => value.toFixed(value < 10 ? 1 : 0);

const rowsOf = (all: ReadonlyMap<PeerName, Samples>): string[][] =>
	[...all].flatMap(([name, samples]) =>
		BATCHES.map((n) => {
			const runs = samples.runs.get(n) ?? [];
			const total = overRounds(runs.map((r) => r.totalMs));
			const outside = runs.map((r) => (r.totalMs - r.insideMs) / r.totalMs);
			return [
				name,
				String(n),
				shown(total),
				shown(overRounds(runs.map((r) => r.insideMs))),
				shown(overRounds(runs.map((r) => r.totalMs - r.insideMs))),
				`${(100 * overRounds(outside)).toFixed(1)} %`,
				shown((n * REQUEST.steps * 1000) / total),
				timesOurs(all, name, n).toFixed(2),
				n === 1 ? shown(median(samples.coldMs)) : '',
				n === 1 ? shown(overRounds(runs.map((r) => r.firstStepMs))) : '',
				n === 1 ? shown(median(samples.rssMiB)) : '',
			];
		}),
	);

const HEADER = ['engine', 'batch', 'ms', 'inside', 'outside', 'outside %', 'steps/s', '× limner', 'first step cold', 'warm', 'peak MiB'];

/** Largest difference of the first picture's latents from ours. */
const differenceOf = (ours: readonly number[], theirs: readonly number[]): number =>
	ours.length === theirs.length ? Math.max(...ours.map((v, i) => Math.abs(v - (theirs[i] ?? Number.NaN)))) : Number.NaN;

const judge = (all: ReadonlyMap<PeerName, Samples>): void => {
	for (const n of BATCHES) {
		for (const name of ENGINES.slice(1)) {
			const speed = timesOurs(all, name, n);
			console.log(`batch ${n}: ${speed.toFixed(2)} × the speed of ${name} (target 1.00: ${speed >= 1 ? 'met' : 'missed'})`);
		}
		const outside = overRounds((all.get('limner')?.runs.get(n) ?? []).map((r) => 1 - r.insideMs / r.totalMs));
		console.log(
			`batch ${n}: ${(100 * outside).toFixed(1)} % outside session.run (target 3 %: ${outside <= TARGET_OUTSIDE ? 'met' : 'missed'})`,
		);
	}
};

const main = async (): Promise<number> => {
	const { values } = parseArgs({
		options: {
			rounds: { type: 'string', default: '5' },
			threads: { type: 'string', default: String(availableParallelism()) },
			model: { type: 'string', default: join(ROOT, 'models/storybook') },
		},
	});
	const python = findPython();
	if (python === undefined) {
		console.error('not measured: there is no Python environment with torch, diffusers and optimum-onnx (see above).');
		return 1;
	}
	const card = JSON.parse(readFileSync(join(values.model, 'limner.json'), 'utf8')) as { nativeWidth: number; nativeHeight: number };
	Object.assign(REQUEST, { width: card.nativeWidth, height: card.nativeHeight });
	const [rounds, threads] = [Number(values.rounds), Number(values.threads)];
	const all = new Map(ENGINES.map((name) => [name, emptySamples()]));
	for (let round = 0; round < rounds; round++) {
		await measureRound(round, all, (name) => commandOf(name, python, values.model, threads));
		console.error(`round ${round + 1} of ${rounds}`);
	}
	console.log(
		`${cpus()[0]?.model ?? 'unknown processor'}, ${threads} threads, float32, DDIM, ${REQUEST.steps} steps, median of ${rounds} rounds of ${TURNS} turns\n`,
	);
	console.log(table(HEADER, rowsOf(all)));
	console.log();
	const ours = all.get('limner')?.latents ?? [];
	for (const name of ENGINES.slice(1)) {
		const difference = differenceOf(ours, all.get(name)?.latents ?? []);
		console.log(`largest difference of final latents from ${name}: ${difference.toExponential(1)}`);
		if (!(difference < SAME_WORK)) {
			console.error(`not measured: ${name} does not compute the same picture, so the times mean nothing.`);
			return 1;
		}
	}
	judge(all);
	return 0;
};

process.exitCode = await main();

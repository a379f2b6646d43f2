/**
 * `limner demo` (`npm run demo -- "a prompt"`): one picture through the real gateway and a real node, then exit.
 * @module
 */
import { randomInt } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { REQUEST_LIMITS as L, type ImageView, type JobRequest, type JobView } from '@limner/shared';
import type { Command } from 'commander';
import { createProgressLine, downloadImage, followJob, submitJob } from '../../client/index.ts';
import { sleep } from '../../lib/backoff.ts';
import { errorCode, EXIT, UserError } from '../../lib/user-error.ts';
import { shortTime } from '../../lib/words.ts';
import { numberedFile, writeOutput } from '../output.ts';
import { whole } from '../parse.ts';
import { callerFolder, projectRoot } from '../up/project.ts';
import { startStack, type Stack } from '../up/stack.ts';

const DEFAULT_PROMPT = 'a lighthouse on a cliff at sunset';
const RANDOM_SEED_END = 2 ** 32;

interface DemoFlags {
	out: string;
	seed?: number;
	steps?: number;
	n: number;
	keep?: boolean;
}

/** Phases in the order in which a node goes through them. */
const NODE_PHASES = ['load', 'encode', 'denoise', 'decode', 'png'] as const;

const at = (job: JobView, type: string, index?: number): number | undefined =>
	job.history.findLast((entry) => entry.type === type && (index === undefined || entry.index === index))?.at;

/** Milliseconds that the node itself measured, by phase, from the picture's metadata. */
const nodePhases = (image: ImageView): [string, number][] => {
	const timings = image.meta?.['timings'];
	if (typeof timings !== 'object' || timings === null) return [];
	return NODE_PHASES.flatMap((name): [string, number][] => {
		const value: unknown = Reflect.get(timings, `${name}Ms`);
		return typeof value === 'number' ? [[name, value]] : [];
	});
};

/**
 * Where the time of one picture went: in the queue, in each phase on the node, and the rest between grant and
 * accepted result, which is the way there and back.
 */
export const timesOf = (job: JobView, image: ImageView): [string, number][] => {
	const queued = at(job, 'queued');
	const assigned = at(job, 'assigned', image.index);
	const done = at(job, 'image', image.index);
	if (queued === undefined || assigned === undefined || done === undefined) return nodePhases(image);
	const phases = nodePhases(image);
	const rest = done - assigned - phases.reduce((sum, [, value]) => sum + value, 0);
	return [['queue', assigned - queued], ...phases, ['transfer', Math.max(0, rest)], ['total', done - queued]];
};

const runJob = async (stack: Stack, prompt: string, flags: DemoFlags, signal: AbortSignal): Promise<JobView> => {
	const { url } = stack.gateway;
	const key = stack.state.apiKey;
	const body: JobRequest = {
		prompt,
		n: flags.n,
		seed: flags.seed ?? randomInt(RANDOM_SEED_END),
		...(flags.steps === undefined ? {} : { steps: flags.steps }),
	};
	const submitted = await submitJob(url, key, body, { signal });
	const line = createProgressLine({ n: flags.n });
	try {
		const job = await followJob(url, key, submitted.id, { onEvent: line.event, signal });
		line.done();
		return job;
	} catch (error) {
		line.done();
		throw error;
	}
};

const report = async (stack: Stack, job: JobView, out: string): Promise<void> => {
	for (const warning of job.warnings) console.error(`limner: note: ${warning}`);
	if (job.state !== 'succeeded') throw new UserError(`The picture was not made: ${job.error?.message ?? `the job is ${job.state}`}.`);
	for (const image of job.images) {
		const file = numberedFile(out, image.index, job.request.n);
		writeOutput(file, await downloadImage(stack.gateway.url, stack.state.apiKey, image));
		console.log(`${file}  ${image.width}×${image.height}, seed ${image.seed}`);
		console.log(
			`  ${timesOf(job, image)
				.map(([phase, value]) => `${phase} ${shortTime(value)}`)
				.join(' · ')}`,
		);
	}
};

const isAlive = (pid: number): boolean => {
	try {
		process.kill(pid, 0);
		return true;
	} catch (error) {
		return errorCode(error) === 'EPERM';
	}
};

/** A folder for this run. What a demo that was killed left behind is removed: nobody else would. */
export const makeDemoFolder = (base: string): string => {
	mkdirSync(base, { recursive: true, mode: 0o700 });
	for (const name of readdirSync(base)) {
		const owner = Number(/^demo-(\d+)-/.exec(name)?.[1] ?? Number.NaN);
		if (owner > 0 && !isAlive(owner)) rmSync(join(base, name), { recursive: true, force: true, maxRetries: 3 });
	}
	return mkdtempSync(join(base, `demo-${process.pid}-`));
};

interface DemoRun {
	stateDir: string;
	abort: AbortController;
	/** The pictures are made; Ctrl-C is now the proper end. */
	keeping: boolean;
}

const say = (text: string): void => console.error(`limner: ${text}`);

const runDemo = async (run: DemoRun, prompt: string, flags: DemoFlags): Promise<void> => {
	const { stateDir, abort } = run;
	const began = performance.now();
	const stack = await startStack({ root: projectRoot(), stateDir, host: '127.0.0.1', port: 0, say });
	try {
		abort.signal.addEventListener('abort', stack.kill, { once: true });
		say(
			`gateway (bundle sha256 ${stack.gateway.bundle.sha256.slice(0, 16)}…) and node are up after ${shortTime(performance.now() - began)}`,
		);
		const job = await runJob(stack, prompt, flags, abort.signal);
		await report(stack, job, resolve(callerFolder(), flags.out));
		run.keeping = flags.keep === true;
		if (run.keeping) await keepRunning(stack, abort.signal);
	} finally {
		await stack.stop();
	}
};

/** Rejects at the first signal, unless that is the proper end. A second one ends the process as usual. */
const interruption = (run: DemoRun): Promise<never> =>
	new Promise((_resolve, reject) => {
		const leave = (): void => {
			run.abort.abort();
			if (!run.keeping) reject(new UserError('Stopped.', { exitCode: EXIT.interrupted }));
		};
		process.once('SIGINT', leave);
		process.once('SIGTERM', leave);
	});

/** What is still starting when a signal comes gets this long; what is left then ends with this process. */
const LEAVE_MS = 2000;

const demo = async (words: string[], flags: DemoFlags): Promise<void> => {
	const prompt = words.join(' ').trim() || DEFAULT_PROMPT;
	const run: DemoRun = { stateDir: makeDemoFolder(join(projectRoot(), '.limner')), abort: new AbortController(), keeping: false };
	console.error(`limner: "${prompt}"`);
	const interrupted = interruption(run);
	const work = runDemo(run, prompt, flags);
	try {
		await Promise.race([interrupted, work]);
	} catch (error) {
		await Promise.race([work.catch(() => undefined), sleep(LEAVE_MS)]);
		throw error;
	} finally {
		rmSync(run.stateDir, { recursive: true, force: true, maxRetries: 3 });
	}
};

const keepRunning = (stack: Stack, signal: AbortSignal): Promise<void> => {
	console.log(`Still running: ${stack.gateway.url}  API key ${stack.state.apiKey}  (Ctrl-C ends it and deletes its state)`);
	return new Promise((done) => (signal.aborted ? done() : signal.addEventListener('abort', () => done(), { once: true })));
};

export const registerDemo = (program: Command): void => {
	program
		.command('demo')
		.description('make one picture through a gateway and a node of its own, then exit')
		.argument('[prompt...]', `what to draw (default: "${DEFAULT_PROMPT}")`)
		.option('--out <file>', 'where to write the picture', 'limner-demo.png')
		.option('--seed <n>', 'seed; the same seed makes the same picture', whole(L.seedMin, L.seedMax))
		.option('--steps <n>', 'denoising steps', whole(L.stepsMin, L.stepsMax))
		.option('--n <n>', 'number of pictures', whole(L.nMin, L.nMax), 1)
		.option('--keep', 'leave the gateway and the node running afterwards')
		.action(async (words: string[], flags: DemoFlags) => {
			await demo(words, flags);
			process.exit(0);
		});
};

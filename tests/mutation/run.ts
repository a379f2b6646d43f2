/**
 * `npm run test:mutation -- pool`: plants bugs one at a time into a copy of the sources and asks who finds each: the
 * simulator with a few seeds, then the unit tests of the pool, then tests in workerd. A bug that nobody finds is a hole in
 * the tests, and the run ends with 1.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BUGS, type Bug } from './bugs.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const TRACES = join(ROOT, 'tests/mutation/traces');
const SEEDS = '30';
const LIMIT_MS = 180_000;
const TRACE_LINES = 60;
/** What is fast; the simulator's own tests would only be the simulator again. */
const UNIT = ['core', 'care', 'dependencies', 'failure', 'history', 'loss', 'operations', 'order', 'priority'].map(
	(name) => `gateway/src/pool/${name}.test.ts`,
);

interface Finding {
	by: string;
	trace: string;
}

/** A folder with copies of what is mutated, and links to what is not. */
const makeCopy = (): string => {
	const folder = mkdtempSync(join(tmpdir(), 'limner-mutation-'));
	for (const name of ['shared', 'gateway']) {
		cpSync(join(ROOT, name), join(folder, name), {
			recursive: true,
			filter: (path) => !/\/(node_modules|\.wrangler|coverage|dist)(\/|$)/.test(path.slice(ROOT.length)),
		});
		symlinkSync(join(ROOT, name, 'node_modules'), join(folder, name, 'node_modules'));
	}
	symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
	// The gateway's catalogue reads the cards of the embedded models.
	symlinkSync(join(ROOT, 'models'), join(folder, 'models'));
	mkdirSync(join(folder, 'node-agent'));
	for (const name of ['package.json', 'wrangler.toml', 'vitest.config.ts', 'tsconfig.base.json'])
		cpSync(join(ROOT, name), join(folder, name));
	return folder;
};

const ESCAPES = new RegExp(`${String.fromCodePoint(27)}\\[[0-9;]*m`, 'g');

/** Runs a command in the copy; answers its output when it fails. */
const failureOf = (folder: string, command: string, args: string[]): string | undefined => {
	const done = spawnSync(command, args, {
		cwd: folder,
		encoding: 'utf8',
		timeout: LIMIT_MS,
		killSignal: 'SIGKILL',
		maxBuffer: 64 * 1024 * 1024,
		env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0', WRANGLER_SEND_METRICS: 'false' },
	});
	if (done.error !== undefined && !('code' in done.error && done.error.code === 'ETIMEDOUT')) throw done.error;
	if (done.status === 0) return undefined;
	const text = `${done.stdout}\n${done.stderr}`
		.replaceAll(ESCAPES, '')
		.replaceAll(folder, '')
		.replaceAll(/\n{3,}/g, '\n\n');
	return done.status === null ? `did not end within ${LIMIT_MS / 1000} seconds\n${text}` : text;
};

const vitest = (folder: string, project: string, ...paths: string[]): string | undefined =>
	failureOf(folder, process.execPath, [
		join(ROOT, 'node_modules/vitest/vitest.mjs'),
		'run',
		'--root',
		folder,
		'--project',
		project,
		'--bail',
		'1',
		...paths,
	]);

/** From the first failure on: what passed before says nothing. */
const interesting = (text: string): string => {
	const lines = text.split('\n');
	const first = lines.findIndex((line) => /VIOLATION|Failed Tests|FAIL |Error/.test(line));
	return lines
		.slice(Math.max(0, first), Math.max(0, first) + TRACE_LINES)
		.map((line) => line.trimEnd())
		.join('\n');
};

const find = (folder: string, bug: Bug): Finding | undefined => {
	const sim = failureOf(folder, process.execPath, [
		join(folder, 'gateway/src/pool/sim/cli.ts'),
		'--quiet',
		'--seeds',
		SEEDS,
		'--shrink',
		'4',
	]);
	if (sim !== undefined) return { by: 'simulator', trace: sim };
	const unit = vitest(folder, 'gateway', ...UNIT);
	if (unit !== undefined) return { by: 'unit tests', trace: unit };
	const workerd = bug.workerd === undefined ? undefined : vitest(folder, 'workerd', bug.workerd);
	return workerd === undefined ? undefined : { by: 'workerd tests', trace: workerd };
};

/** A planted bug is a text that stands once in the sources: before anything is run, because running takes long. */
const checkTexts = (folder: string, bugs: readonly Bug[]): void => {
	for (const { name, file, from } of bugs) {
		const places = readFileSync(join(folder, file), 'utf8').split(from).length - 1;
		if (places !== 1) throw new Error(`${name}: its text is in ${file} ${places} times instead of once; adapt tests/mutation/bugs.ts`);
	}
};

const plant = (folder: string, bug: Bug): (() => void) => {
	const path = join(folder, bug.file);
	const before = readFileSync(path, 'utf8');
	writeFileSync(
		path,
		before.replace(bug.from, () => bug.to),
	);
	return () => writeFileSync(path, before);
};

const keepTrace = (bug: Bug, found: Finding): void => {
	const head = `Planted: ${bug.what}\nIn ${bug.file}\nFound by: ${found.by}\n\n`;
	writeFileSync(join(TRACES, `${bug.name}.txt`), `${head}${interesting(found.trace)}\n`);
};

/** The copy itself must be sound, or everything would be "found". */
const checkSound = (folder: string, bugs: readonly Bug[]): void => {
	const workerd = bugs.find((bug) => bug.workerd !== undefined)?.workerd;
	const broken =
		failureOf(folder, process.execPath, [join(folder, 'gateway/src/pool/sim/cli.ts'), '--quiet', '--seeds', SEEDS, '--shrink', '4']) ??
		vitest(folder, 'gateway', ...UNIT) ??
		(workerd === undefined ? undefined : vitest(folder, 'workerd', workerd));
	if (broken !== undefined) throw new Error(`the sources fail without any bug planted:\n${interesting(broken)}`);
};

const runAll = (bugs: readonly Bug[]): number => {
	const folder = makeCopy();
	const survivors: string[] = [];
	try {
		checkTexts(folder, bugs);
		checkSound(folder, bugs);
		console.log(`${'planted bug'.padEnd(24)}${'found by'.padEnd(16)}what is lost`);
		for (const bug of bugs) {
			const undo = plant(folder, bug);
			const found = find(folder, bug);
			undo();
			if (found === undefined) survivors.push(bug.name);
			else keepTrace(bug, found);
			console.log(`${bug.name.padEnd(24)}${(found?.by ?? 'NOBODY').padEnd(16)}${bug.what}`);
		}
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
	console.log(
		`${bugs.length - survivors.length} of ${bugs.length} planted bugs were found${survivors.length > 0 ? `; NOT: ${survivors.join(', ')}` : ''}`,
	);
	return survivors.length === 0 ? 0 : 1;
};

const main = (): number => {
	const [area, ...names] = process.argv.slice(2);
	if (area !== 'pool') {
		console.error('test:mutation: say which part: npm run test:mutation -- pool [NAME...]');
		return 2;
	}
	const unknown = names.find((name) => !BUGS.some((bug) => bug.name === name));
	if (unknown !== undefined) {
		console.error(`test:mutation: there is no bug "${unknown}"; there are: ${BUGS.map((bug) => bug.name).join(', ')}.`);
		return 2;
	}
	mkdirSync(TRACES, { recursive: true });
	return runAll(names.length === 0 ? BUGS : BUGS.filter((bug) => names.includes(bug.name)));
};

process.exit(main());

// Entry of every npm script. Runs on any Node >= 20.20 with nothing installed: installs the workspace when it is missing
// or out of date, then hands over to the Node of package.json (devDependency `node`), which runs TypeScript directly.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const PNPM = 'pnpm@12.21.0';
const MIN_NODE = [20, 20, 0];
const MIN_FREE_BYTES = 2 * 1024 ** 3;
const STAMP = join(ROOT, 'node_modules', '.limner-install');
const NODE = join(ROOT, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');

const fail = (sentence) => {
	console.error(`limner: ${sentence}`);
	process.exit(1);
};

const checkNode = () => {
	const have = process.versions.node.split('.').map(Number);
	for (let i = 0; i < 3; i++) {
		if (have[i] > MIN_NODE[i]) return;
		if (have[i] < MIN_NODE[i]) {
			fail(
				`Node ${process.versions.node} is too old; install Node ${MIN_NODE.join('.')} or newer from https://nodejs.org and run the command again.`,
			);
		}
	}
};

/** Changes with the lockfile and the platform, so that a stale or copied node_modules is installed anew. */
const wantedStamp = () => {
	const hash = createHash('sha256');
	for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml', 'package.json']) hash.update(readFileSync(join(ROOT, file)));
	return `${hash.digest('hex')} ${process.platform}-${process.arch}`;
};

/** A dependency whose folder has gone: somebody tidied up, or an installation was broken off. */
const missingPackage = () => {
	for (const folder of ['.', 'shared', 'gateway', 'node-agent', 'sdk', 'web']) {
		const { dependencies = {}, devDependencies = {} } = JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8'));
		for (const name of Object.keys({ ...dependencies, ...devDependencies })) {
			if (!existsSync(join(ROOT, folder, 'node_modules', name, 'package.json'))) return name;
		}
	}
	return undefined;
};

const installed = (stamp) => {
	if (!existsSync(STAMP) || readFileSync(STAMP, 'utf8') !== stamp || !existsSync(NODE)) return false;
	const missing = missingPackage();
	if (missing !== undefined) console.error(`limner: the installation has lost ${missing}`);
	return missing === undefined;
};

const install = (stamp) => {
	const { bavail, bsize } = statfsSync(ROOT);
	if (bavail * bsize < MIN_FREE_BYTES) {
		fail(
			`the disk has ${Math.floor((bavail * bsize) / 1024 ** 2)} MiB free and an installation needs about 2 GiB; free some room and run the command again.`,
		);
	}
	console.error('limner: installing (once, about a minute) …');
	rmSync(STAMP, { force: true });
	const npx = process.platform === 'win32' ? 'npx.cmd' : 'npx';
	const args = ['--yes', PNPM, 'install', '--frozen-lockfile', '--reporter=append-only', '--loglevel=error'];
	// npm passes its own settings on as npm_config_*; pnpm would warn about those it does not know.
	const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^npm_config_(nodedir|user_agent)$/i.test(key)));
	const result = spawnSync(npx, args, { cwd: ROOT, stdio: ['ignore', 2, 2], env, shell: process.platform === 'win32' });
	if (result.status !== 0 || !existsSync(NODE) || missingPackage() !== undefined) {
		fail(
			'the installation did not finish (see above); check that the npm registry can be reached, delete node_modules and run the command again.',
		);
	}
	mkdirSync(dirname(STAMP), { recursive: true });
	writeFileSync(STAMP, stamp);
};

checkNode();
const stamp = wantedStamp();
if (!installed(stamp)) install(stamp);

const child = spawn(NODE, ['--disable-warning=ExperimentalWarning', join(ROOT, 'scripts', 'run.ts'), ...process.argv.slice(2)], {
	stdio: 'inherit',
	env: {
		...process.env,
		INIT_CWD: process.env.INIT_CWD ?? process.cwd(),
		PATH: `${dirname(NODE)}${process.platform === 'win32' ? ';' : ':'}${process.env.PATH ?? ''}`,
	},
});
// A terminal sends Ctrl-C to the whole group, so the child has it already; this process only has to outlive it. A
// SIGTERM comes to this process alone and is passed on.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.on('error', (error) => fail(`Node could not be started: ${error.message}; delete node_modules and run the command again.`));
child.on('exit', (code, signal) => process.exit(code ?? (signal === null ? 1 : 130)));

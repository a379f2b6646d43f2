/**
 * The gateway's bundle, made by `wrangler deploy --dry-run`: the very bytes that a deploy would upload. Kept in a cache
 * that is keyed by its inputs, because building takes longer than starting.
 * @module
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { UserError } from '../../lib/user-error.ts';

export interface Bundle {
	/** Entry file. */
	file: string;
	/** SHA-256 (hex) of the entry file. */
	sha256: string;
}

const sourceFiles = (folder: string): string[] =>
	readdirSync(folder, { recursive: true, withFileTypes: true })
		.filter((entry) => entry.isFile() && /\.(ts|html|css|json)$/.test(entry.name) && !entry.name.endsWith('.test.ts'))
		.map((entry) => join(entry.parentPath, entry.name))
		.toSorted();

/** What the gateway knows of the embedded models. */
const cards = (root: string): string[] =>
	readdirSync(join(root, 'models'))
		.map((name) => join(root, 'models', name, 'limner.json'))
		.filter((file) => existsSync(file))
		.toSorted();

/** Hash over everything that the bundle is made from. */
export const inputsHash = (root: string): string => {
	const hash = createHash('sha256');
	const files = ['wrangler.toml', 'pnpm-lock.yaml'].map((name) => join(root, name));
	for (const file of [...files, ...cards(root), ...sourceFiles(join(root, 'gateway/src')), ...sourceFiles(join(root, 'shared/src'))]) {
		hash.update(file.slice(root.length)).update('\0').update(readFileSync(file)).update('\0');
	}
	return hash.digest('hex');
};

const wranglerBin = (): string => join(dirname(createRequire(import.meta.url).resolve('wrangler/package.json')), 'bin/wrangler.js');

const runWrangler = (root: string, outDir: string): Promise<void> =>
	new Promise((resolve, reject) => {
		const child = spawn(process.execPath, [wranglerBin(), 'deploy', '--dry-run', '--outdir', outDir], {
			cwd: root,
			env: { ...process.env, WRANGLER_SEND_METRICS: 'false', NO_COLOR: '1' },
			stdio: ['ignore', 'pipe', 'pipe'],
		});
		let output = '';
		child.stdout.on('data', (chunk) => (output += String(chunk)));
		child.stderr.on('data', (chunk) => (output += String(chunk)));
		child.on('error', reject);
		child.on('exit', (code) => (code === 0 ? resolve() : reject(new UserError(`the gateway could not be built:\n${output.trim()}`))));
	});

const read = (dir: string): Bundle => {
	const file = join(dir, 'index.js');
	return { file, sha256: createHash('sha256').update(readFileSync(file)).digest('hex') };
};

/**
 * Builds the bundle, or takes it from the cache.
 * @throws {UserError} with wrangler's own words when the gateway does not build.
 */
export const buildGateway = async (root: string): Promise<Bundle> => {
	const cache = join(root, 'node_modules/.cache/limner/gateway');
	const wanted = join(cache, inputsHash(root).slice(0, 32));
	if (existsSync(join(wanted, 'index.js'))) return read(wanted);
	const building = `${wanted}.${process.pid}`;
	mkdirSync(cache, { recursive: true });
	try {
		await runWrangler(root, building);
		// Two starts at once may both build; the first rename wins and the bytes are the same.
		if (!existsSync(wanted)) renameSync(building, wanted);
	} finally {
		rmSync(building, { recursive: true, force: true });
	}
	return read(wanted);
};

/**
 * The studio's files in gateway/public, made anew when something that they are made from has changed. Runs before the
 * gateway starts and before wrangler uploads it; several at once do no harm.
 * @module
 */
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const ROOT = join(import.meta.dirname, '..');
const OUT = join(ROOT, 'gateway/public');
const CACHE = join(ROOT, 'node_modules/.cache/limner/web');
const STAMP = join(CACHE, 'stamp');

const filesBelow = (folder: string): string[] =>
	readdirSync(folder, { recursive: true, withFileTypes: true })
		.filter((entry) => entry.isFile() && !entry.name.endsWith('.test.ts') && !entry.parentPath.includes('node_modules'))
		.map((entry) => join(entry.parentPath, entry.name))
		.toSorted();

const inputsHash = (): string => {
	const hash = createHash('sha256');
	const files = [
		...['pnpm-lock.yaml', 'web/index.html', 'web/vite.config.ts'].map((name) => join(ROOT, name)),
		...['web/src', 'web/public', 'sdk/src'].flatMap((folder) => filesBelow(join(ROOT, folder))),
	];
	for (const file of files) hash.update(file.slice(ROOT.length)).update('\0').update(readFileSync(file)).update('\0');
	return hash.digest('hex');
};

const isCurrent = (wanted: string): boolean =>
	existsSync(join(OUT, 'index.html')) && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === wanted;

interface Vite {
	build: (options: Record<string, unknown>) => Promise<unknown>;
}

/** Vite lives in the studio's own package. */
const vite = async (): Promise<Vite> =>
	(await import(pathToFileURL(createRequire(join(ROOT, 'web/package.json')).resolve('vite')).href)) as Vite;

/** Puts a finished build in place: new files first, the page that names them next, what nothing names any more last. */
const place = (built: string): void => {
	const assets = join(OUT, 'assets');
	mkdirSync(assets, { recursive: true });
	cpSync(join(built, 'assets'), assets, { recursive: true });
	for (const { name } of readdirSync(built, { withFileTypes: true }).filter((entry) => entry.isFile() && entry.name !== 'index.html')) {
		cpSync(join(built, name), join(OUT, name));
	}
	// A rename, so that nobody ever reads half a page.
	cpSync(join(built, 'index.html'), `${OUT}/index.html.${process.pid}`);
	renameSync(`${OUT}/index.html.${process.pid}`, join(OUT, 'index.html'));
	const named = new Set(readdirSync(join(built, 'assets')));
	for (const file of readdirSync(assets)) if (!named.has(file)) rmSync(join(assets, file), { force: true });
};

const main = async (): Promise<void> => {
	const wanted = inputsHash();
	if (isCurrent(wanted)) return;
	console.error('limner: building the studio …');
	const built = join(CACHE, String(process.pid));
	const { build } = await vite();
	await build({ root: join(ROOT, 'web'), logLevel: 'warn', build: { outDir: built, emptyOutDir: true } });
	place(built);
	writeFileSync(STAMP, wanted);
	rmSync(built, { recursive: true, force: true });
};

await main();

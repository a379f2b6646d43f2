/**
 * `npm run coverage`: how many lines of gateway and shared the tests run, those inside workerd included. The files that
 * count are fixed here; what is left out is printed. Fails below the floor.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const OUT = join(ROOT, 'coverage/core');
/** Percent of lines, for each part. */
const FLOOR = 85;
const PARTS: readonly string[] = ['gateway', 'shared'];
const INCLUDE = PARTS.map((part) => `${part}/src/**/*.ts`);
/** No code that runs in production: tests, their helpers, and generated types. */
const EXCLUDE = ['**/*.test.ts', '**/*.test-lib.ts'];
/** Programs that start in processes of their own, where nothing counts lines. `npm run sim`, `modelcheck` and `openapi` run them. */
const PROGRAMS = ['gateway/src/pool/sim/cli.ts', 'gateway/src/pool/modelcheck/cli.ts', 'gateway/src/openapi-document.ts'];
const PROJECTS = ['shared', 'gateway', 'workerd'];
const SHOWN = 15;

interface Lines {
	total: number;
	covered: number;
}

const run = (): number => {
	rmSync(OUT, { recursive: true, force: true });
	const args = [
		'run',
		'--root',
		ROOT,
		'--coverage',
		...PROJECTS.flatMap((project) => ['--project', project]),
		...INCLUDE.map((glob) => `--coverage.include=${glob}`),
		...[...EXCLUDE, ...PROGRAMS].map((glob) => `--coverage.exclude=${glob}`),
		`--coverage.reportsDirectory=${OUT}`,
		'--coverage.reporter=json-summary',
		// A failed test fails the command; the numbers are wanted all the same.
		'--coverage.reportOnFailure',
		...process.argv.slice(2),
	];
	return spawnSync(join(ROOT, 'node_modules/.bin/vitest'), args, { cwd: ROOT, stdio: 'inherit' }).status ?? 1;
};

const percent = ({ total, covered }: Lines): number => (total === 0 ? 100 : (100 * covered) / total);
const shown = (lines: Lines): string => `${percent(lines).toFixed(2)} % (${lines.covered} of ${lines.total} lines)`;
const sum = (all: readonly Lines[]): Lines =>
	all.reduce((a, b) => ({ total: a.total + b.total, covered: a.covered + b.covered }), { total: 0, covered: 0 });

const code = run();
const summary = JSON.parse(readFileSync(join(OUT, 'coverage-summary.json'), 'utf8')) as Record<string, { lines: Lines }>;
const files = Object.entries(summary)
	.filter(([name]) => name !== 'total')
	.map(([name, { lines }]): [string, Lines] => [relative(ROOT, name), lines]);

console.log(`\nincluded: ${INCLUDE.join(', ')}\nexcluded: ${EXCLUDE.join(', ')}`);
for (const file of PROGRAMS.flatMap((glob) => globSync(glob, { cwd: ROOT }))) console.log(`excluded, a program of its own: ${file}`);
console.log(`\nfewest lines, of ${files.length} files:`);
for (const [name, lines] of files.toSorted((a, b) => percent(a[1]) - percent(b[1])).slice(0, SHOWN))
	console.log(`  ${name}: ${shown(lines)}`);
let low = false;
for (const part of PARTS) {
	const lines = sum(files.filter(([name]) => name.startsWith(`${part}/`)).map(([, each]) => each));
	console.log(`${part}: ${shown(lines)}`);
	if (percent(lines) < FLOOR) {
		console.error(`limner: ${part} is below ${FLOOR} % of lines`);
		low = true;
	}
}
console.log(`together: ${shown(sum(files.map(([, each]) => each)))}`);
process.exit(code === 0 && low ? 1 : code);

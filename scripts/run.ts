/**
 * What the npm scripts do. Started by bootstrap.mjs on the project's own Node, from any folder of the clone.
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const BIN = join(ROOT, 'node_modules', '.bin');
const CLI = join(ROOT, 'node-agent/src/cli/main.ts');

interface Step {
	/** What is being done, for the log; absent for commands that take over the terminal. */
	title?: string;
	command: string;
	args: string[];
	cwd?: string;
	env?: Record<string, string>;
}

const bin = (name: string, ...args: string[]): Step => ({ command: join(BIN, name), args });
/** Where Node keeps what it compiled: a command, and each engine process, starts a tenth of a second sooner. */
const COMPILED = process.env['NODE_COMPILE_CACHE'] ?? join(ROOT, 'node_modules/.cache/node-compile');
const node = (file: string, ...args: string[]): Step => ({
	command: process.execPath,
	args: ['--disable-warning=ExperimentalWarning', file, ...args],
	env: { NODE_COMPILE_CACHE: COMPILED },
});
const titled = (title: string, step: Step): Step => ({ ...step, title });
const vitest = (...args: string[]): Step => bin('vitest', 'run', '--root', ROOT, ...args);

/** Test projects beside those of `npm test`; see vitest.config.ts. */
const more = (...names: string[]): Record<string, string> => ({ LIMNER_TEST_MORE: names.join(' ') });

const PACKAGES = ['shared', 'gateway', 'node-agent', 'sdk', 'web', '.'];
const LINTED = ['shared', 'gateway', 'node-agent', 'sdk', 'web', 'scripts', 'tests', 'vitest.config.ts'];
const FORMATTED = [...LINTED, 'package.json', 'tsconfig.json'];

const lint = (): Step[] => [
	titled('oxlint', bin('oxlint', '--type-aware', '--deny-warnings', ...LINTED)),
	titled('oxfmt', bin('oxfmt', '--check', ...FORMATTED)),
];
const typecheck = (): Step[] => [
	titled('wrangler types', bin('wrangler', 'types', 'gateway/worker-configuration.d.ts', '--check')),
	...PACKAGES.map((name) => titled(`tsc ${name}`, bin('tsc', '--noEmit', '-p', name))),
];
const build = (): Step[] => [titled('gateway bundle', node('scripts/bundle-size.ts'))];
const openapi = (...args: string[]): Step => titled('openapi.json and the types of the SDK', node('scripts/openapi.ts', ...args));

/** Silent when the studio is up to date. */
const web = (): Step => node('scripts/web-build.ts');

const apiDocs = (...args: string[]): Step => titled('docs/api.md, errors.md, postman.json', node('scripts/api-docs.ts', ...args));

const TASKS: Record<string, (args: string[]) => Step[]> = {
	demo: (args) => [node(CLI, 'demo', ...args)],
	start: (args) => [web(), node(CLI, 'up', ...args)],
	limner: (args) => [...(args[0] === 'up' ? [web()] : []), node(CLI, ...args)],
	'build:web': () => [web()],
	'dev:web': () => [{ ...bin('vite'), command: join(ROOT, 'web/node_modules/.bin/vite'), cwd: join(ROOT, 'web') }],
	test: (args) => [web(), vitest('--coverage', ...args)],
	'test:all': (args) => [
		web(),
		{ ...vitest('--coverage', ...args), env: more('browser', 'clients', 'drills', 'sdk-e2e') },
		titled('storage on S3', node('tests/storage/run.ts')),
		titled('Postman collection', node('tests/postman/run.ts')),
		titled('OpenAPI document', node('tests/schemathesis/run.ts')),
	],
	'test:storage': (args) => [node('tests/storage/run.ts', ...args)],
	'test:unit': (args) => [
		vitest(
			...(args.includes('--project')
				? []
				: ['--project', 'shared', '--project', 'gateway', '--project', 'node-agent', '--project', 'sdk', '--project', 'web']),
			...args,
		),
	],
	'test:workerd': (args) => [vitest('--project', 'gateway', '--project', 'workerd', ...args)],
	'test:reference': (args) => [vitest('--project', 'reference', ...args)],
	'test:pull': (args) => [vitest('--project', 'node-agent', 'models/pull.test', 'cli/models-pull.test', ...args)],
	screenshots: (args) => [web(), node('tests/browser/screenshots.ts', ...args)],
	'test:browser': (args) => [web(), { ...vitest('--project', 'browser', ...args), env: more('browser') }],
	'test:clients': (args) => [{ ...vitest('--project', 'clients', ...args), env: more('clients') }],
	'test:e2e': (args) => [web(), { ...vitest('--project', 'e2e', '--project', 'drills', ...args), env: more('drills') }],
	'test:conformance': (args) => [node('tests/conformance/mcp/run.ts', ...args)],
	'test:sdk': (args) => [{ ...vitest('--project', 'sdk', '--project', 'sdk-e2e', ...args), env: more('sdk-e2e') }],
	// A large world stays below 2 GiB; without the bound the heap grows as long as there is memory.
	sim: (args) => [node('--max-old-space-size=1600', 'gateway/src/pool/sim/cli.ts', ...args)],
	modelcheck: (args) => [node('gateway/src/pool/modelcheck/cli.ts', ...args)],
	'test:mutation': ([part = '', ...args]) =>
		part === 'diffusion' ? [node('tests/mutation/diffusion.ts', ...args)] : [node('tests/mutation/run.ts', part, ...args)],
	'test:protocol': (args) => [node('tests/conformance/cli.ts', ...args)],
	'test:chaos': (args) => [node('tests/chaos/cli.ts', ...args)],
	'bench:e2e': (args) => [node('tests/load/bench-e2e.ts', ...args)],
	'bench:pool': (args) => [node('tests/load/bench-pool.ts', ...args)],
	'bench:engine': (args) => [node('tests/load/bench-engine.ts', ...args)],
	lint,
	format: () => [titled('oxfmt', bin('oxfmt', ...FORMATTED))],
	typecheck,
	build,
	openapi: (args) => [openapi(...args), apiDocs(...args), titled('examples in docs/protocol.md', node('tests/conformance/docs.ts'))],
	'test:security': (args) => [
		vitest(
			...['workerd', 'gateway', 'shared'].flatMap((project) => ['--project', project]),
			...['security', 'tenancy', 'oauth', 'http/webhooks', 'http/trust', 'storage/results', 'storage/assets'].map(
				(each) => `gateway/test/${each}`,
			),
			'storage/verify',
			'shared/src/address',
			...args,
		),
	],
	'test:schemathesis': (args) => [web(), node('tests/schemathesis/run.ts', ...args)],
	'test:postman': (args) => [web(), node('tests/postman/run.ts', ...args)],
	coverage: (args) => [node('scripts/coverage.ts', ...args)],
	'audit:deps': () => [node('scripts/audit-deps.ts')],
	'docs:run': () => [node('scripts/docs-run.ts')],
	check: () => [...lint(), ...typecheck(), ...build(), openapi('--check'), apiDocs('--check')],
};

/** Commands that mean the caller's files by relative paths run there; everything else runs in the root. */
const USER_TASKS = new Set(['demo', 'start', 'limner']);

let running: ChildProcess | undefined;
// The terminal's Ctrl-C reaches the child by itself; this process waits for it to end in order.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => running?.kill('SIGTERM'));

const runStep = (step: Step, cwd: string): Promise<number> =>
	new Promise((resolve) => {
		if (step.title !== undefined) console.error(`▸ ${step.title}`);
		const child = spawn(step.command, step.args, {
			cwd,
			stdio: 'inherit',
			env: { ...process.env, WRANGLER_SEND_METRICS: 'false', ...step.env },
		});
		running = child;
		child.on('error', (error) => {
			console.error(`limner: ${step.command} could not be started (${error.message}); delete node_modules and run the command again.`);
			resolve(1);
		});
		child.on('exit', (code, signal) => resolve(code ?? (signal === null ? 1 : 130)));
	});

const main = async (): Promise<number> => {
	const [name = '', ...args] = process.argv.slice(2);
	const task = Object.hasOwn(TASKS, name) ? TASKS[name] : undefined;
	if (task === undefined) {
		console.error(`limner: there is no script "${name}"; there are: ${Object.keys(TASKS).join(', ')}.`);
		return 2;
	}
	const cwd = USER_TASKS.has(name) ? (process.env['INIT_CWD'] ?? ROOT) : ROOT;
	for (const step of task(args)) {
		const code = await runStep(step, step.cwd ?? cwd);
		if (code !== 0) return code;
	}
	return 0;
};

process.exit(await main());

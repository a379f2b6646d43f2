/**
 * `npm run test:conformance`: the official MCP conformance suite against the fixture server, and its generic scenarios
 * against the gateway's own `/mcp`. Fails on a failed check, on an unexpected warning, and on an expectation that no
 * longer holds.
 * @module
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { convertV4MiniflareOptions, Miniflare } from 'miniflare';
import { startTestGateway } from '../../lib/gateway.ts';

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = join(HERE, '../../..');
const CONFORMANCE = join(ROOT, 'node_modules/.bin/conformance');
const WRANGLER = join(ROOT, 'node_modules/.bin/wrangler');

interface Run {
	title: string;
	url: string;
	args: string[];
	/** Scenarios of this run that must fail, each with its reason in docs/mcp.md. */
	notApplicable: readonly string[];
	/** The frozen requirements that are run. */
	revision?: string;
}

interface Check {
	id?: string;
	status: string;
	description?: string;
	errorMessage?: string;
}

/** Scenarios whose answer does not depend on fixtures. */
const GENERIC: Record<string, string[]> = {
	'2026-07-28': ['tools-list', 'resources-list', 'prompts-list', 'sep-2164-resource-not-found', 'dns-rebinding-protection', 'caching'],
	'2025-11-25': ['server-initialize', 'ping', 'tools-list', 'resources-list', 'prompts-list', 'dns-rebinding-protection'],
};

const buildFixture = (outDir: string): void => {
	const args = ['deploy', '--dry-run', '--config', join(HERE, 'wrangler.toml'), '--outdir', outDir];
	const built = spawnSync(WRANGLER, args, { encoding: 'utf8', env: { ...process.env, WRANGLER_SEND_METRICS: 'false' } });
	if (built.status !== 0) throw new Error(`the fixture worker could not be built:\n${built.stdout}${built.stderr}`);
};

const startFixture = async (outDir: string): Promise<{ url: string; stop: () => Promise<void> }> => {
	const miniflare = new Miniflare(
		convertV4MiniflareOptions({
			host: '127.0.0.1',
			port: 0,
			compatibilityDate: '2026-10-01',
			compatibilityFlags: ['nodejs_compat', 'enable_request_signal'],
			bindings: { PUBLIC_URL: '', CORS_ORIGINS: '', LOG_LEVEL: 'error' },
			modules: [{ type: 'ESModule', path: 'worker.js', contents: readFileSync(join(outDir, 'worker.js'), 'utf8') }],
			modulesRoot: '.',
			telemetry: { enabled: false },
		}),
	);
	const url = await miniflare.ready;
	return { url: `${url.origin}/mcp-conformance`, stop: () => miniflare.dispose() };
};

/** Adds the key that the suite cannot send. */
const withKey = (target: string, key: string): Promise<{ server: Server; url: string }> =>
	new Promise((resolve) => {
		const server = createServer((from, to) => {
			const headers = { ...from.headers, authorization: `Bearer ${key}` };
			const onward = httpRequest(`${target}${from.url ?? '/'}`, { method: from.method, headers }, (answer) => {
				to.writeHead(answer.statusCode ?? 502, answer.headers);
				answer.pipe(to);
			});
			onward.on('error', () => to.destroy());
			to.on('close', () => onward.destroy());
			from.pipe(onward);
		});
		server.listen(0, '127.0.0.1', () => resolve({ server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp` }));
	});

/** Checks of each scenario; the suite keeps them in a folder `server-<scenario>-<time>`. */
const checksOf = (folder: string): Map<string, Check[]> =>
	new Map(
		readdirSync(folder, { recursive: true, encoding: 'utf8' })
			.filter((file) => file.endsWith('checks.json'))
			.map((file) => [
				/(?:server-)?(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/.exec(basename(dirname(file)))?.[1] ?? file,
				JSON.parse(readFileSync(join(folder, file), 'utf8')) as Check[],
			]),
	);

/** Scenarios that a revision requires; others run along and are not scored. */
const requiredBy = (revision: string): Set<string> => {
	const { stdout } = spawnSync(CONFORMANCE, ['list', '--server', '--requirements', revision], { encoding: 'utf8' });
	return new Set(stdout.slice(0, stdout.indexOf('Client scenarios')).match(/(?<=^ {2}- )\S+/gm));
};

const runSuite = ({ url, args }: Run, folder: string): Promise<number> =>
	new Promise((resolve) => {
		const child = spawn(CONFORMANCE, ['server', '--url', url, ...args, '-o', folder], { stdio: 'inherit' });
		child.on('exit', (code) => resolve(code ?? 1));
	});

interface Verdict {
	passed: number;
	/** Failed checks and warnings of scenarios that must be clean. */
	bad: { scenario: string; check: Check }[];
}

const verdictOf = (run: Run, all: Map<string, Check[]>): Verdict => {
	const scored = run.revision === undefined ? undefined : requiredBy(run.revision);
	const verdict: Verdict = { passed: 0, bad: [] };
	for (const [scenario, checks] of all) {
		verdict.passed += checks.filter(({ status }) => status === 'SUCCESS').length;
		if (run.notApplicable.includes(scenario) || scored?.has(scenario) === false) continue;
		verdict.bad.push(...checks.filter(({ status }) => status === 'FAILURE' || status === 'WARNING').map((check) => ({ scenario, check })));
	}
	return verdict;
};

/** One run; answers whether it is clean. The suite ends well in spite of warnings, so that they are looked for here. */
const judge = async (run: Run): Promise<boolean> => {
	const folder = mkdtempSync(join(tmpdir(), 'limner-conformance-'));
	console.log(`\n::: ${run.title}`);
	try {
		const code = await runSuite(run, folder);
		const { passed, bad } = verdictOf(run, checksOf(folder));
		for (const { scenario, check } of bad)
			console.log(`${check.status} ${scenario} ${check.id ?? ''}: ${check.errorMessage ?? check.description ?? ''}`);
		const clean = code === 0 && bad.length === 0 && passed > 0;
		console.log(
			`::: ${run.title}: ${passed} checks passed, ${run.notApplicable.length} scenarios not applicable: ${clean ? 'clean' : 'NOT CLEAN'}`,
		);
		return clean;
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
};

const legacyBaseline = join(HERE, 'not-applicable-2025-11-25.yml');
const NOT_APPLICABLE = readFileSync(legacyBaseline, 'utf8').match(/(?<=^ {2}- )\S+/gm) ?? [];
const NOT_APPLICABLE_MAX = 6;

const main = async (): Promise<number> => {
	const outDir = mkdtempSync(join(tmpdir(), 'limner-conformance-build-'));
	buildFixture(outDir);
	const fixture = await startFixture(outDir);
	const gateway = await startTestGateway();
	const proxy = await withKey(gateway.url, gateway.key);
	const runs: Run[] = [
		{ title: 'fixture, 2026-07-28', url: fixture.url, args: ['--requirements', '2026-07-28'], notApplicable: [], revision: '2026-07-28' },
		{
			title: 'fixture, 2025-11-25',
			url: fixture.url,
			args: ['--requirements', '2025-11-25', '--expected-failures', legacyBaseline],
			notApplicable: NOT_APPLICABLE,
			revision: '2025-11-25',
		},
		...Object.entries(GENERIC).flatMap(([version, scenarios]) =>
			scenarios.map((scenario) => ({
				title: `the gateway, ${version}, ${scenario}`,
				url: proxy.url,
				args: ['--scenario', scenario, '--spec-version', version],
				notApplicable: [],
			})),
		),
	];
	try {
		const results: boolean[] = [];
		for (const run of runs) results.push(await judge(run));
		console.log(
			`\n${results.filter(Boolean).length} of ${results.length} runs clean; ${NOT_APPLICABLE.length} legacy scenarios not applicable (at most ${NOT_APPLICABLE_MAX})`,
		);
		return results.every(Boolean) && NOT_APPLICABLE.length <= NOT_APPLICABLE_MAX ? 0 : 1;
	} finally {
		proxy.server.close();
		await gateway.stop();
		await fixture.stop();
		rmSync(outDir, { recursive: true, force: true });
	}
};

process.exit(await main());

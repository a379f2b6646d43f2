/**
 * `npm run test:postman`: the generated collection, from the first request to the last, by Newman against a real gateway
 * with a mock node. Fails when an assertion fails, when a request could not be sent, and when an operation is missing.
 * @module
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode } from '../lib/node.ts';
import { makePng } from '../lib/peer.ts';

/** The model that the collection names. */
const MODEL = 'storybook';

const LIMIT_MS = 10 * 60_000;
const REQUEST_MS = 60_000;

interface Execution {
	item: { name: string };
	response?: { code: number };
	assertions?: { assertion: string; error?: { message: string } }[];
}
interface Report {
	run: {
		stats: Record<'requests' | 'assertions', { total: number; failed: number }>;
		executions: Execution[];
		failures: { error: { message: string }; source?: { name: string } }[];
	};
}

const newman = async (gateway: TestGateway, folder: string): Promise<Report> => {
	const root = projectRoot();
	const report = join(folder, 'report.json');
	const picture = join(folder, 'picture.png');
	writeFileSync(picture, makePng(64, 64));
	// Names of files in a collection are not variables.
	const collection = join(folder, 'collection.json');
	writeFileSync(collection, readFileSync(join(root, 'docs/postman.json'), 'utf8').replaceAll('{{picture}}', picture));
	const variables = { baseUrl: gateway.url, apiKey: gateway.key, withoutStreams: 'true' };
	const args = [
		join(root, 'node_modules/newman/bin/newman.js'),
		'run',
		collection,
		'--reporters',
		'json',
		'--reporter-json-export',
		report,
		'--timeout-request',
		String(REQUEST_MS),
		...Object.entries(variables).flatMap(([name, value]) => ['--env-var', `${name}=${value}`]),
	];
	const child = spawn(process.execPath, ['--disable-warning=DEP0040', ...args], {
		cwd: folder,
		stdio: ['ignore', 'inherit', 'inherit'],
		timeout: LIMIT_MS,
		killSignal: 'SIGKILL',
	});
	await new Promise((resolve, reject) => {
		child.on('error', reject);
		child.on('exit', resolve);
	});
	return JSON.parse(readFileSync(report, 'utf8')) as Report;
};

const operationsOf = (): string[] => {
	const { paths } = JSON.parse(readFileSync(join(projectRoot(), 'docs/openapi.json'), 'utf8')) as {
		paths: Record<string, Record<string, { operationId: string }>>;
	};
	return Object.values(paths).flatMap((item) => Object.values(item).map(({ operationId }) => operationId));
};

const printed = ({ item, response, assertions = [] }: Execution): string[] => {
	const failed = assertions.filter(({ error }) => error !== undefined);
	return [
		`${failed.length === 0 ? 'ok    ' : 'FAILED'} ${response?.code ?? 'no answer'} ${item.name}`,
		...failed.map(({ assertion, error }) => `         ${assertion}: ${error?.message ?? ''}`),
	];
};

/** Prints what was asked and answered, and says what is wrong. */
const judge = ({ run }: Report): string[] => {
	for (const line of run.executions.flatMap(printed)) console.log(line);
	const ran = new Set(run.executions.map(({ item }) => item.name));
	const missing = operationsOf().filter((id) => !ran.has(id) && id !== 'followPresence');
	const { requests, assertions } = run.stats;
	console.log(`${requests.total} requests, ${requests.failed} not answered; ${assertions.total} assertions, ${assertions.failed} failed`);
	return [
		...missing.map((id) => `the collection did not run ${id}`),
		...run.failures.map(({ error, source }) => `${source?.name ?? ''}: ${error.message}`),
		...(assertions.total > 0 ? [] : ['nothing was asserted']),
	];
};

const main = async (): Promise<number> => {
	const folder = mkdtempSync(join(tmpdir(), 'limner-postman-'));
	const gateway = await startTestGateway({ DEFAULT_MODEL: MODEL, SIGNUP: 'invite', LOG_LEVEL: 'error' });
	const node = await startTestNode(gateway, { name: 'drawing', stepMs: 0, slots: 2, args: [`--mock-model=${MODEL}`] });
	try {
		const wrong = judge(await newman(gateway, folder));
		for (const sentence of wrong) console.error(`limner: ${sentence}`);
		return wrong.length === 0 ? 0 : 1;
	} finally {
		await node.stop();
		await gateway.stop();
		rmSync(folder, { recursive: true, force: true });
	}
};

process.exit(await main());

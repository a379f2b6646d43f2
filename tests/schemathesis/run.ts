/**
 * `npm run test:schemathesis`: every operation of the OpenAPI document against a real gateway with mock nodes, by
 * Schemathesis with all its checks, with the key of an operator and with one of a single scope. Positive cases get the ids
 * of real things (`things.py`). Fails on a server error, on an answer that the document does not describe, on wrong input
 * that is taken, on fewer than 2,000 cases, when fewer than 60 % of the operator's positive cases answer 2xx, and for
 * operations of which the document says nothing. `--seed N`, `--examples N` a case generator, `--only REGEX` of paths.
 * @module
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { pythonVenv } from '../lib/venv.ts';
import { tally, undocumented, type Call, type Document, type Filtered } from './judge.ts';
import { NARROW_SCOPE, startWorld, type World } from './world.ts';

const MIN_CASES = 2000;
const MIN_ACCEPTED = 0.6;
const LIMIT_MS = 20 * 60_000;
/** Speaks WebSocket, which Schemathesis does not: `npm run test:security` sees its 101. */
const NOT_HTTP: ReadonlySet<string> = new Set(['connectNode']);
const { values: options } = parseArgs({
	options: { seed: { type: 'string', default: '1' }, examples: { type: 'string', default: '2' }, only: { type: 'string' } },
});

interface Run {
	world: World;
	file: string;
	bin: string;
	name: string;
	key: string;
	phases: string;
	folder: string;
}

const readCalls = (file: string): (Call | Filtered)[] =>
	existsSync(file)
		? readFileSync(file, 'utf8')
				.split('\n')
				.filter((line) => line !== '')
				.map((line) => JSON.parse(line) as Call | Filtered)
		: [];

interface Ran {
	code: number;
	calls: Call[];
	filtered: Filtered[];
}

/** One run of Schemathesis; what it found is on the terminal. */
const schemathesis = async ({ world, file, bin, name, key, phases, folder }: Run): Promise<Ran> => {
	const url = world.gateway.url;
	const calls = join(folder, `${name}.jsonl`);
	const args = [
		'--config-file',
		fileURLToPath(new URL('./schemathesis.toml', import.meta.url)),
		'run',
		`${url}/openapi.json`,
		'--url',
		url,
		'--no-color',
		'--phases',
		phases,
		'--seed',
		options.seed,
		'--max-examples',
		options.examples,
		...(options.only === undefined ? [] : ['--include-path-regex', options.only]),
	];
	console.error(`▸ schemathesis, ${name} key`);
	const child = spawn(join(bin, 'schemathesis'), args, {
		cwd: folder,
		stdio: ['ignore', 'inherit', 'inherit'],
		timeout: LIMIT_MS,
		killSignal: 'SIGKILL',
		env: {
			...process.env,
			PYTHONPATH: projectRoot(),
			PYTHONDONTWRITEBYTECODE: '1',
			PYTHONWARNINGS: 'ignore',
			LIMNER_WORLD: file,
			LIMNER_CALLS: calls,
			LIMNER_KEY: key,
		},
	});
	const code = await new Promise<number>((resolve, reject) => {
		child.on('error', reject);
		child.on('exit', (status) => resolve(status ?? 1));
	});
	const lines = readCalls(calls);
	return {
		code,
		calls: lines.filter((line): line is Call => 'status' in line),
		filtered: lines.filter((line): line is Filtered => 'filtered' in line),
	};
};

const percent = (part: number, whole: number): string => `${whole === 0 ? 0 : ((100 * part) / whole).toFixed(1)} %`;

/** Prints the counts, and answers what is wrong with them. */
const judge = (admin: Ran, narrow: Ran, document: Document): string[] => {
	const of = { admin: tally(admin.calls), narrow: tally(narrow.calls) };
	for (const [name, { cases, positive, accepted, serverErrors }] of Object.entries(of)) {
		console.error(
			`${name} key: ${cases} cases, ${positive} positive, ${accepted} of them 2xx (${percent(accepted, positive)}), ${serverErrors.length} server errors`,
		);
	}
	console.error(
		`admin key, cases by phase: ${Object.entries(of.admin.phases)
			.map(([phase, count]) => `${phase} ${count}`)
			.join(', ')}`,
	);
	for (const [why, cases] of Map.groupBy([...admin.filtered, ...narrow.filtered], ({ filtered }) => filtered)) {
		console.error(
			`not counted as failures: ${cases.length} × ${why} (${[...new Set(cases.map(({ operation }) => operation))].join(', ')})`,
		);
	}
	const whole = options.only === undefined;
	const cases = of.admin.cases + of.narrow.cases;
	const never = of.admin.never.filter((operation) => !NOT_HTTP.has(operation));
	const errors = [...of.admin.serverErrors, ...of.narrow.serverErrors];
	return [
		...(admin.code === 0 && narrow.code === 0 ? [] : ['Schemathesis found what is listed above']),
		...errors.slice(0, 20).map(({ operation, status, detail }) => `${operation} answered ${status}: ${detail}`),
		...(whole && cases < MIN_CASES ? [`${cases} cases are fewer than ${MIN_CASES}`] : []),
		...(whole && of.admin.accepted < MIN_ACCEPTED * of.admin.positive
			? [`fewer than ${percent(MIN_ACCEPTED, 1)} of the positive cases answer 2xx`]
			: []),
		...(whole && never.length > 0 ? [`no positive case answered 2xx: ${never.join(', ')}`] : []),
		...undocumented(document),
	];
};

const main = async (): Promise<number> => {
	const environment = pythonVenv(
		'limner-schemathesis',
		fileURLToPath(new URL('./requirements.txt', import.meta.url)),
		'import schemathesis',
	);
	if ('problem' in environment) {
		console.error(`limner: ${environment.problem}`);
		return 1;
	}
	const folder = mkdtempSync(join(tmpdir(), 'limner-schemathesis-'));
	const file = join(folder, 'world.json');
	const world = await startWorld(file);
	try {
		const document = (await (await fetch(`${world.gateway.url}/openapi.json`)).json()) as Document;
		const shared = { world, file, bin: dirname(environment.python), folder };
		const admin = await schemathesis({ ...shared, name: 'admin', key: world.gateway.key, phases: 'examples,coverage,fuzzing,stateful' });
		const narrow = await schemathesis({ ...shared, name: NARROW_SCOPE, key: world.narrowKey, phases: 'examples,fuzzing' });
		const wrong = judge(admin, narrow, document);
		for (const sentence of wrong) console.error(`limner: ${sentence}`);
		return wrong.length === 0 ? 0 : 1;
	} finally {
		await world.stop();
		rmSync(folder, { recursive: true, force: true });
	}
};

process.exit(await main());

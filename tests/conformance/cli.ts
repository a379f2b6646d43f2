/**
 * `npm run test:protocol`: plays every conversation of the node protocol with a node, given as a command line; without
 * one, with the node-agent of this repository and with the one in node.py. Exit code 1 when a case fails.
 * @module
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { CASES, type Case } from './cases.ts';
import { failover } from './failover.ts';
import { NODE_PY, pythonForNode } from './python.ts';
import { Rig, type NodeCommand } from './rig.ts';

const HELP = `Checks a node against docs/protocol.md.

  npm run test:protocol -- [--node 'COMMAND'] [--only TEXT] [--at-once 3] [--planted] [--no-failover]

  --node         command line with {gateway}, {token}, {state} (a folder) and {name} in it; split at spaces.
                 The node must offer at least one model for txt2img at 64×64, and take a second or more for 30 steps.
                 Without it: the node-agent of this repository and tests/conformance/node.py.
  --only         cases whose name contains this text
  --at-once      cases played at a time
  --planted      plants bugs in node.py instead, each of which a case must find
  --no-failover  leaves out the part against a real gateway
`;

const ownNode = (): NodeCommand => {
	const main = join(projectRoot(), 'node-agent/src/cli/main.ts');
	const words = [process.execPath, '--disable-warning=ExperimentalWarning', main, 'node', '--gateway', '{gateway}', '--token', '{token}'];
	const engine = ['--engine', 'mock', '--mock-step-ms', '60', '--slots', '1'];
	return { title: 'node-agent', words: [...words, '--state-dir', '{state}', '--name', '{name}', ...engine] };
};

const pythonNode = (): NodeCommand => {
	const found = pythonForNode();
	if ('problem' in found) throw new Error(found.problem);
	const words = [found.python, NODE_PY, '--gateway', '{gateway}', '--token', '{token}', '--state', '{state}', '--name', '{name}'];
	return { title: 'node.py', words };
};

/** Bugs for node.py, and the case that must find each: a case that cannot fail checks nothing. */
const PLANTED: readonly [bug: string, from: string, to: string, found: string][] = [
	['signs the nonce alone', 'self.key.sign(message)', "self.key.sign(challenge['nonce'].encode())", 'greets with a signature'],
	['does not look at the epoch of a cancel', "frame['index']}-{frame['epoch']}", "frame['index']}", 'older epoch'],
	['acknowledges nothing', '"t": "ack"', '"t": "acknowledge"', 'takes a task'],
	['forgets its outbox at a restart', 'self.outbox.glob("*.json")', '[]', 'across SIGKILL'],
	['does not name what is running', '"running": running', '"running": []', 'resume'],
	['repeats an upload after 409', '(200, 409, 410, 413, 422)', '(200, 410, 413, 422)', 'on 409, 410 and 422'],
	['goes on with a cancelled task', 'run = self.running.pop(name_of(grant), None)', 'run = None', 'stops a cancelled task'],
	['comes back after it was replaced', '4409: "another process uses this identity", ', '', 'close 4409'],
	['never renews', 'if code == 4401', 'if code == 4999', 'renews its certificate after close 4401'],
	['sends pings as frames', 'socket.send("ping")', 'socket.send(json.dumps("ping"))', 'sends the text "ping"'],
	['leaves on a frame that it does not know', 'print(f"ignored', 'raise Halt(f"confused', 'ignores frames of a newer version'],
	['says goodbye to nobody', '"t": "bye"', '"t": "tschuess"', 'says goodbye'],
];

/** Answers how many bugs were not found. */
const playPlanted = async (): Promise<number> => {
	const dir = mkdtempSync(join(tmpdir(), 'limner-planted-'));
	const source = readFileSync(NODE_PY, 'utf8');
	const { words } = pythonNode();
	let missed = 0;
	for (const [bug, from, to, found] of PLANTED) {
		const [one] = CASES.filter((each) => each.name.includes(found));
		if (one === undefined || !source.includes(from)) throw new Error(`the bug "${bug}" cannot be planted`);
		const file = join(dir, 'node.py');
		writeFileSync(
			file,
			source.replace(from, () => to),
		);
		const problems = await playCase({ title: bug, words: words.map((word) => (word === NODE_PY ? file : word)) }, one);
		if (problems.length === 0) missed++;
		console.log(`${problems.length > 0 ? 'found ' : 'MISSED'} ${bug}: ${problems[0]?.split('\n')[0] ?? ''}`);
	}
	rmSync(dir, { recursive: true, force: true });
	return missed;
};

/** Plays one case; answers what went wrong. */
const playCase = async (command: NodeCommand, one: Case): Promise<string[]> => {
	const rig = await Rig.make(command);
	const problems: string[] = [];
	try {
		await one.run(rig);
	} catch (error) {
		problems.push(error instanceof Error ? error.message : String(error));
		if (rig.output !== '') problems.push(`the node's last words: ${rig.output.trim().slice(-500)}`);
	}
	problems.push(...rig.gateway.violations);
	await rig.stop();
	return problems;
};

const playAll = async (command: NodeCommand, cases: readonly Case[], atOnce: number): Promise<number> => {
	let failures = 0;
	let next = 0;
	const worker = async (): Promise<void> => {
		for (let one = cases[next++]; one !== undefined; one = cases[next++]) {
			const problems = await playCase(command, one);
			if (problems.length > 0) failures++;
			console.log(`${problems.length === 0 ? 'ok  ' : 'FAIL'} ${command.title}: ${one.name}`);
			for (const problem of problems) console.log(`       ${problem}`);
		}
	};
	await Promise.all(Array.from({ length: atOnce }, worker));
	return failures;
};

const playFailover = async (command: NodeCommand): Promise<number> => {
	try {
		await failover(command);
		console.log(`ok   ${command.title}: a killed node's task is finished elsewhere, and a killed gateway costs nothing`);
		return 0;
	} catch (error) {
		console.log(`FAIL ${command.title}: against a real gateway: ${error instanceof Error ? error.message : String(error)}`);
		return 1;
	}
};

const { values } = parseArgs({
	options: {
		node: { type: 'string' },
		only: { type: 'string', default: '' },
		'at-once': { type: 'string', default: '3' },
		'no-failover': { type: 'boolean', default: false },
		planted: { type: 'boolean', default: false },
		help: { type: 'boolean', short: 'h', default: false },
	},
});
if (values.help) {
	console.log(HELP);
	process.exit(0);
}
if (values.planted) {
	const missed = await playPlanted();
	console.log(missed === 0 ? `all ${PLANTED.length} planted bugs are found` : `${missed} planted bugs are missed`);
	process.exit(missed === 0 ? 0 : 1);
}
const commands = values.node === undefined ? [ownNode(), pythonNode()] : [{ title: 'node', words: values.node.split(' ').filter(Boolean) }];
const cases = CASES.filter((one) => one.name.includes(values.only));
let failures = 0;
for (const command of commands) {
	failures += await playAll(command, cases, Math.max(1, Number(values['at-once'])));
	if (!values['no-failover'] && values.only === '') failures += await playFailover(command);
}
console.log(
	failures === 0 ? `${cases.length} cases for each of ${commands.length} nodes: all as the protocol says` : `${failures} failures`,
);
process.exit(failures === 0 ? 0 : 1);

/**
 * Starts the local node-agent as a process of its own (`limner node`), exactly as another machine would run it.
 * @module
 */
import { fork, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { call } from '../../client/index.ts';
import { UserError } from '../../lib/user-error.ts';
import type { LocalState } from './state.ts';

const CLI_FILE = fileURLToPath(new URL('../main.ts', import.meta.url));
const ONLINE_MS = 60_000;
const POLL_MS = 150;
const STOP_MS = 30_000;
const RESTART_FIRST_MS = 1000;
const RESTART_CAP_MS = 30_000;
/** A node that ran for this long starts without a pause after its next end. */
const STEADY_MS = 60_000;

export interface LocalNodeOptions {
	gatewayUrl: string;
	state: LocalState;
	/** Extra arguments of `limner node`. */
	args?: string[];
	onRestart?: (reason: string) => void;
}

export interface RunningNode {
	pid: number;
	/** Why it ended before it was ever online, in its own words; undefined while it runs. */
	startError: () => string | undefined;
	/** It was online: from now on it is started again, whatever ends it. */
	confirm: () => void;
	/** Lets the running task finish, or hands it back, then ends the process. */
	stop: () => Promise<void>;
	/** Leaves at once. */
	kill: () => void;
}

/** A join token for one new node of this workspace. */
export const makeJoinToken = async (gatewayUrl: string, apiKey: string): Promise<string> => {
	const response = await call(gatewayUrl, apiKey, '/api/v1/join-tokens', {
		method: 'POST',
		headers: { 'content-type': 'application/json' },
		body: JSON.stringify({ trust: 'own', maxUses: 1, ttlMs: 3_600_000 }),
	});
	const body: unknown = await response.json();
	if (typeof body === 'object' && body !== null && 'token' in body && typeof body.token === 'string') return body.token;
	throw new UserError('The gateway gave no join token; update the gateway and the CLI to one version.');
};

/** The last sentence of a process in its output, past status lines; without one, its last line. */
const lastWords = (file: string): string => {
	const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
	return (lines.findLast((line) => line.startsWith('limner: ')) ?? lines.at(-1) ?? '').replace(/^limner: /, '');
};

const exited = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

const outputFile = (state: LocalState): string => join(state.dir, 'node-output.log');

const forkNode = async ({ gatewayUrl, state, args = [] }: LocalNodeOptions): Promise<ChildProcess> => {
	// Needed the first time, and again when the certificate has run out or the gateway's state was deleted. In the
	// environment, because everybody on the machine may read the arguments of a process.
	const token = await makeJoinToken(gatewayUrl, state.apiKey);
	const output = openSync(outputFile(state), 'a', 0o600);
	const nodeArgs = ['node', '--gateway', gatewayUrl, '--state-dir', join(state.dir, 'node'), '--name', 'local', ...args];
	const child = fork(CLI_FILE, nodeArgs, {
		// A process group of its own: a Ctrl-C in the terminal reaches `up` alone, which then stops things in order.
		detached: true,
		stdio: ['ignore', output, output, 'ipc'],
		env: { ...process.env, LIMNER_SUPERVISED: '1', LIMNER_TOKEN: token },
	});
	closeSync(output);
	return child;
};

const stopNode = (child: ChildProcess): Promise<void> =>
	new Promise((resolve) => {
		if (exited(child)) return resolve();
		const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
		child.once('exit', () => {
			clearTimeout(timer);
			resolve();
		});
		child.kill('SIGTERM');
	});

/** Starts the node and keeps it running; a node that dies is started again with growing pauses. */
export const startNode = async (options: LocalNodeOptions): Promise<RunningNode> => {
	let child = await forkNode(options);
	let startedAt = performance.now();
	let stopping = false;
	let confirmed = false;
	let failures = 0;
	let startError: string | undefined;
	const running: RunningNode = {
		pid: child.pid ?? 0,
		startError: () => startError,
		confirm: () => {
			confirmed = true;
		},
		stop: async () => {
			stopping = true;
			await stopNode(child);
		},
		kill: () => {
			stopping = true;
			child.kill('SIGKILL');
		},
	};
	const respawn = async (): Promise<void> => {
		await new Promise((resolve) => setTimeout(resolve, Math.min(RESTART_CAP_MS, RESTART_FIRST_MS * 2 ** failures++)));
		if (stopping) return;
		try {
			child = await forkNode(options);
			startedAt = performance.now();
			running.pid = child.pid ?? 0;
			watch();
		} catch (error) {
			options.onRestart?.(error instanceof Error ? error.message : String(error));
			void respawn();
		}
	};
	const watch = (): void => {
		child.once('exit', (code, signal) => {
			if (stopping) return;
			// Exit code 1 is a sentence for the user (no model, full disk, …). Before the node was ever online, starting it
			// again would only repeat the sentence; later the user may mend what it names.
			const words = code === 1 ? lastWords(outputFile(options.state)) : '';
			if (code === 1 && !confirmed) {
				startError = words;
				return;
			}
			if (performance.now() - startedAt >= STEADY_MS) failures = 0;
			options.onRestart?.(`the node ended (${words === '' ? (signal ?? `code ${code}`) : words.replace(/\.$/, '')}); starting it again`);
			void respawn();
		});
	};
	watch();
	return running;
};

interface WorkerList {
	data: { link: string; models: { name: string }[] }[];
}

/**
 * Waits until a node with at least one model is online.
 * @throws {UserError} with the node's own words when it ended, after a minute naming the log to read
 */
export const waitForNode = async (gatewayUrl: string, state: LocalState, node: RunningNode): Promise<void> => {
	const until = Date.now() + ONLINE_MS;
	while (Date.now() < until) {
		const why = node.startError();
		if (why !== undefined) throw new UserError(`The node did not start: ${why}`);
		const response = await call(gatewayUrl, state.apiKey, '/api/v1/supervisor/workers');
		const list = (await response.json()) as WorkerList;
		if (list.data.some(({ link, models }) => link === 'online' && models.length > 0)) return node.confirm();
		await new Promise((resolve) => setTimeout(resolve, POLL_MS));
	}
	throw new UserError(
		`The node did not come up within ${ONLINE_MS / 1000} s; see ${join(state.dir, 'node-output.log')}, or run \`npm run limner -- doctor\`.`,
	);
};

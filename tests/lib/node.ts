/**
 * Real node-agent processes for whole-system tests.
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { childrenOf, type TestGateway } from './gateway.ts';
import { until } from './until.ts';

export interface EngineEvent {
	slot: string;
	pid: number;
	jobId: string;
	index: number;
	epoch: number;
	event: 'start' | 'step' | 'end';
	at: number;
	step?: number;
}

export interface TestNodeOptions {
	name: string;
	/** `mock` draws deterministic noise at a chosen pace; `onnx` runs the embedded model. */
	engine?: 'mock' | 'onnx';
	stepMs?: number;
	slots?: number;
	trust?: 'own' | 'shared';
	/** Reuse the state folder (and with it the identity) of an earlier process. */
	stateDir?: string;
	args?: string[];
	/** Do not wait for the node to be online. */
	noWait?: boolean;
}

export class TestNode {
	readonly name: string;
	readonly stateDir: string;
	readonly process: ChildProcess;
	readonly options: TestNodeOptions;
	output = '';
	constructor(options: TestNodeOptions, stateDir: string, child: ChildProcess) {
		this.name = options.name;
		this.options = options;
		this.stateDir = stateDir;
		this.process = child;
		child.stdout?.on('data', (chunk) => (this.output += String(chunk)));
		child.stderr?.on('data', (chunk) => (this.output += String(chunk)));
	}

	get exited(): boolean {
		return this.process.exitCode !== null || this.process.signalCode !== null;
	}

	/** What the slots did, in order, from the node's engine log. */
	engineLog(): EngineEvent[] {
		const file = join(this.stateDir, 'engine.log');
		if (!existsSync(file)) return [];
		return readFileSync(file, 'utf8')
			.split('\n')
			.filter((line) => line !== '')
			.map((line) => JSON.parse(line) as EngineEvent);
	}

	async sawEvent(what: string, match: (event: EngineEvent) => boolean, timeoutMs = 30_000): Promise<EngineEvent> {
		return until(`${this.name}: ${what}`, () => this.engineLog().find(match), timeoutMs, 20);
	}

	/** SIGKILL for the node and its engine processes at once: a machine that loses power. */
	async kill(): Promise<void> {
		const pid = this.process.pid ?? 0;
		const family = [pid, ...childrenOf(pid)];
		for (const member of family) {
			try {
				process.kill(member, 'SIGKILL');
			} catch {
				// It ended by itself in between.
			}
		}
		await until(`${this.name} is dead`, () => (this.exited ? true : undefined));
	}

	async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
		if (!this.exited) {
			this.process.kill(signal);
			await until(`${this.name} stops`, () => (this.exited ? true : undefined), 40_000).catch(() => this.kill());
		}
		if (this.options.stateDir === undefined) rmSync(this.stateDir, { recursive: true, force: true, maxRetries: 5 });
	}
}

export const startTestNode = async (gateway: TestGateway, options: TestNodeOptions): Promise<TestNode> => {
	const stateDir = options.stateDir ?? mkdtempSync(join(tmpdir(), `limner-node-${options.name}-`));
	const token = existsSync(join(stateDir, 'node.json')) ? [] : ['--token', await gateway.joinToken(options.trust)];
	const engine = options.engine ?? 'mock';
	const args = [
		'--disable-warning=ExperimentalWarning',
		join(projectRoot(), 'node-agent/src/cli/main.ts'),
		'node',
		'--gateway',
		gateway.url,
		...token,
		'--name',
		options.name,
		'--state-dir',
		stateDir,
		'--slots',
		String(options.slots ?? 1),
		'--engine',
		engine,
		...(engine === 'mock' ? ['--mock-step-ms', String(options.stepMs ?? 20)] : []),
		...(options.args ?? []),
	];
	const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, INIT_CWD: projectRoot() } });
	const node = new TestNode(options, stateDir, child);
	if (options.noWait !== true) {
		await until(
			`${options.name} is online`,
			async () => {
				if (node.exited) throw new Error(`${options.name} ended while starting:\n${node.output}`);
				return (await gateway.workers()).some((worker) => worker.name === options.name && worker.link === 'online') ? true : undefined;
			},
			60_000,
		);
	}
	return node;
};

/**
 * A node under test: any command line, its processes, and a scripted gateway for it to talk to.
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newJobId, type GrantRef, type Hello, type ModelInfo } from '@limner/shared';
import { randomBytes } from 'node:crypto';
import { childrenOf } from '../lib/gateway.ts';
import { until } from '../lib/until.ts';
import { JOIN_TOKEN, ScriptedGateway, type Conversation } from './gateway.ts';

/** A command line with `{gateway}`, `{token}`, `{state}` and `{name}` in it. */
export interface NodeCommand {
	title: string;
	words: string[];
}

export const fillIn = (words: readonly string[], values: Record<string, string>): string[] =>
	words.map((word) => word.replaceAll(/\{(gateway|token|state|name)\}/g, (_all, name: string) => values[name] ?? ''));

const spawnNode = (command: NodeCommand, values: Record<string, string>): { child: ChildProcess; output: () => string } => {
	const [program = '', ...args] = fillIn(command.words, values);
	const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
	let output = '';
	child.on('error', (error) => (output += error.message));
	for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output = (output + String(chunk)).slice(-4000)));
	return { child, output: () => output };
};

export interface Grant extends GrantRef {
	ticket: string;
	slotId: string;
}

/** Long enough that something can happen while a node draws. */
const STEPS = 30;

export class Rig {
	readonly gateway: ScriptedGateway;
	readonly #command: NodeCommand;
	readonly #dir: string;
	#node: { child: ChildProcess; output: () => string } | undefined;

	private constructor(gateway: ScriptedGateway, command: NodeCommand, dir: string) {
		this.gateway = gateway;
		this.#command = command;
		this.#dir = dir;
	}

	static async make(command: NodeCommand): Promise<Rig> {
		const dir = mkdtempSync(join(tmpdir(), 'limner-conformance-'));
		mkdirSync(join(dir, 'state'));
		return new Rig(await ScriptedGateway.start(), command, dir);
	}

	/** Starts the node; a second start finds the state of the first. */
	start(token = JOIN_TOKEN): void {
		const values = { gateway: this.gateway.url, token, state: join(this.#dir, 'state'), name: 'conformance' };
		this.#node = spawnNode(this.#command, values);
	}

	/** Starts the node and waits for its welcome. */
	async online(): Promise<Conversation> {
		this.start();
		return this.gateway.online();
	}

	get exited(): boolean {
		const child = this.#node?.child;
		return child === undefined || child.exitCode !== null || child.signalCode !== null;
	}

	get exitCode(): number | null {
		return this.#node?.child.exitCode ?? null;
	}

	get output(): string {
		return this.#node?.output() ?? '';
	}

	async exits(timeoutMs = 20_000): Promise<void> {
		await until('the node ends', () => (this.exited ? true : undefined), timeoutMs);
	}

	signal(signal: NodeJS.Signals): void {
		this.#node?.child.kill(signal);
	}

	/** As when a machine loses power. */
	async kill(): Promise<void> {
		const pid = this.#node?.child.pid;
		if (pid === undefined || this.exited) return;
		for (const member of [pid, ...childrenOf(pid)]) {
			try {
				process.kill(member, 'SIGKILL');
			} catch {
				// Gone already.
			}
		}
		await this.exits();
	}

	/** Grants a task that the node can do; `change` alters the frame. */
	grant(talk: Conversation, change: Partial<Grant> & Record<string, unknown> = {}, spec: Record<string, unknown> = {}): Grant {
		const hello = talk.hello as Hello;
		const model = hello.models[0] as ModelInfo;
		const jobId = newJobId(Date.now(), randomBytes(10), 0);
		const frame = {
			t: 'task',
			jobId,
			index: 0,
			epoch: 1,
			slotId: hello.slots[0]?.id ?? '',
			leaseMs: 60_000,
			spec: {
				task: 'txt2img',
				model: model.name,
				prompt: 'a lighthouse on a cliff',
				negativePrompt: null,
				width: 64,
				height: 64,
				steps: STEPS,
				guidance: model.defaults.guidance,
				scheduler: model.defaults.scheduler,
				seed: 7,
				n: 1,
				pasteBack: true,
				class: 'interactive',
				priority: 5,
				deadlineAt: Date.now() + 3_600_000,
				...spec,
			},
			seed: 7,
			ticket: `ticket-${jobId}-${change.epoch ?? 1}`,
			inputs: [],
			...change,
		};
		talk.ws.send(JSON.stringify(frame));
		const { index, epoch, slotId, ticket } = frame;
		return { jobId: frame.jobId, index, epoch, slotId, ticket };
	}

	async stop(): Promise<void> {
		await this.kill();
		await this.gateway.stop();
		rmSync(this.#dir, { recursive: true, force: true, maxRetries: 5 });
	}
}

export const isGrant =
	(grant: GrantRef) =>
	(frame: GrantRef): boolean =>
		frame.jobId === grant.jobId && frame.index === grant.index && frame.epoch === grant.epoch;

export const bare = (grant: GrantRef): GrantRef => ({ jobId: grant.jobId, index: grant.index, epoch: grant.epoch });

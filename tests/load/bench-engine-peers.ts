/**
 * The processes that bench-engine.ts compares: one engine each, started afresh, asked over stdin and stdout.
 * @module
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** What every engine is asked for. */
export interface BenchRequest {
	prompt: string;
	steps: number;
	guidance: number;
	width: number;
	height: number;
	seed: number;
	n: number;
}

/** One answered request. */
export interface BenchRun {
	totalMs: number;
	/** Time inside the networks: `session.run`, or the forward passes of PyTorch. */
	insideMs: number;
	/** From asking to the end of the first step. */
	firstStepMs: number;
	/** Final latents of the first picture. */
	latents: number[];
}

interface PeerEvent {
	event: 'ready' | 'first' | 'done';
	totalMs?: number;
	insideMs?: number;
	latents?: number[];
}

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

export type PeerName = 'limner' | 'diffusers' | 'optimum';

/** The command of an engine's process. */
export const commandOf = (name: PeerName, python: string, model: string, threads: number): [string, string[]] => {
	if (name === 'limner') return [process.execPath, [here('./bench-engine-own.ts'), model, String(threads)]];
	return [python, [here('./bench-engine.py'), '--engine', name, '--model', model, '--threads', String(threads)]];
};

/** A running engine. Its stderr is kept for the message when it fails. */
export class Peer {
	readonly startedAt = performance.now();
	readonly #child: ChildProcessWithoutNullStreams;
	readonly #events: AsyncIterator<string>;
	#stderr = '';

	constructor(command: string, args: string[]) {
		this.#child = spawn(command, args, { env: { ...process.env, TOKENIZERS_PARALLELISM: 'false', HF_HUB_OFFLINE: '1' } });
		this.#child.stderr.on('data', (chunk: Buffer) => (this.#stderr = (this.#stderr + chunk.toString()).slice(-2000)));
		// a peer that could not start ends its stdout, which `next` reports
		this.#child.on('error', (error) => (this.#stderr += error.message));
		this.#child.stdin.on('error', () => {});
		this.#events = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
	}

	/** Waits until the model is loaded. */
	async ready(): Promise<void> {
		await this.#next('ready');
	}

	/** @throws Error with the end of the engine's stderr when it dies */
	async run(request: BenchRequest): Promise<BenchRun> {
		const asked = performance.now();
		this.#child.stdin.write(`${JSON.stringify(request)}\n`);
		await this.#next('first');
		const firstStepMs = performance.now() - asked;
		const { totalMs = Number.NaN, insideMs = Number.NaN, latents = [] } = await this.#next('done');
		return { totalMs, insideMs, firstStepMs, latents };
	}

	/** Largest resident set so far in MiB; NaN where /proc does not exist. */
	peakRssMiB(): number {
		try {
			const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
			return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) / 1024;
		} catch {
			return Number.NaN;
		}
	}

	async stop(): Promise<void> {
		const ended = new Promise((resolve) => {
			this.#child.once('exit', resolve);
		});
		if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
		this.#child.stdin.end();
		this.#child.kill();
		await ended;
	}

	async #next(wanted: PeerEvent['event']): Promise<PeerEvent> {
		for (;;) {
			const { value, done } = await this.#events.next();
			if (done === true) throw new Error(`the engine ended: ${this.#stderr.trim().split('\n').slice(-3).join(' ')}`);
			const event = JSON.parse(value) as PeerEvent;
			if (event.event === wanted) return event;
		}
	}
}

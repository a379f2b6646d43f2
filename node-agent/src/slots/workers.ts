/**
 * Engine processes, and the stand-in that runs the mock engine inside the node.
 * @module
 */
import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createEngine, type EngineConfig } from '../engines/create.ts';
import { EngineHost } from './host.ts';
import type { FromWorker, StartWorker, ToWorker, Worker } from './messages.ts';

const CHILD_FILE = fileURLToPath(new URL('child.ts', import.meta.url));
const STDERR_KEEP = 4096;

export interface WorkerConfig {
	engine: EngineConfig;
	/** Path of the engine log; none when absent. */
	engineLog?: string;
	/** The engine of a slot, where slots differ. */
	engineOf?: (slotId: string) => EngineConfig;
	/** More variables for a slot's process: which GPU it sees, where libraries are. */
	env?: (slotId: string) => Record<string, string>;
	/** What every picture says about the device it was made on. */
	warnings?: string[];
	/** Every line that an engine process prints. */
	onOutput?: (slotId: string, text: string) => void;
}

/** Times that the Linux kernel has killed for memory since it started. */
const oomKills = (): number => {
	try {
		return Number(/^oom_kill (\d+)$/m.exec(readFileSync('/proc/vmstat', 'utf8'))?.[1] ?? 0);
	} catch {
		return 0;
	}
};

/** Starts one process a slot. */
export const forkWorkers =
	(config: WorkerConfig): StartWorker =>
	(slotId, events) => {
		const killsBefore = oomKills();
		const { engineLog, warnings } = config;
		const engine = config.engineOf?.(slotId) ?? config.engine;
		const setup = { slotId, engine, ...(engineLog === undefined ? {} : { engineLog }), ...(warnings === undefined ? {} : { warnings }) };
		const child = fork(CHILD_FILE, [], {
			serialization: 'advanced',
			stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
			execArgv: ['--disable-warning=ExperimentalWarning'],
			env: { ...process.env, LIMNER_ENGINE: JSON.stringify(setup), ORT_DISABLE_TELEMETRY: '1', ...config.env?.(slotId) },
		});
		let stderr = '';
		let killed = false;
		let gone = false;
		const output = (chunk: Buffer): void => config.onOutput?.(slotId, chunk.toString());
		child.stdout?.on('data', output);
		child.stderr?.on('data', (chunk: Buffer) => {
			stderr = (stderr + chunk.toString()).slice(-STDERR_KEEP);
			output(chunk);
		});
		const leave = (code: number | null, signal: string | null): void => {
			if (gone) return;
			gone = true;
			const outOfMemory = signal === 'SIGKILL' && !killed && oomKills() > killsBefore;
			events.exit({ code, signal, stderr, outOfMemory });
		};
		child.on('message', (message) => events.message(message as FromWorker));
		// `close` comes after the last output, so that the last words are there.
		child.on('close', leave);
		child.on('error', (error) => {
			stderr += `\n${error.message}`;
			if (child.pid === undefined) leave(null, null);
		});
		return {
			pid: child.pid,
			// A message to a process that just died is answered by its exit.
			post: (message: ToWorker) => void (child.connected && child.send(message, () => undefined)),
			kill: () => {
				killed = true;
				child.kill('SIGKILL');
			},
		};
	};

/** Runs the mock engine inside this process. It cannot be killed: a killed one is left to itself and ignored. */
export const inProcessWorkers =
	(config: WorkerConfig): StartWorker =>
	(slotId, events): Worker => {
		let alive = true;
		let host: EngineHost | undefined;
		const send = (message: FromWorker): void => {
			if (alive) events.message(message);
		};
		const start = async (): Promise<void> => {
			const engine = await createEngine(config.engine);
			host = new EngineHost(engine, send, { slotId, ...(config.engineLog === undefined ? {} : { engineLog: config.engineLog }) });
			host.ready();
		};
		void start();
		return {
			pid: process.pid,
			post: (message) => host?.receive(message),
			kill: () => {
				if (!alive) return;
				alive = false;
				setImmediate(() => events.exit({ code: null, signal: 'SIGKILL', stderr: '', outOfMemory: false }));
			},
		};
	};

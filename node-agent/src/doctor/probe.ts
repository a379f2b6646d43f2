/**
 * Tries an execution provider of ONNX Runtime in a process of its own.
 * @module
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { DeviceKind } from '../engines/devices.ts';
import { PROBE_TOLERANCE } from './probe-model.ts';

const CHILD_FILE = fileURLToPath(new URL('probe-child.ts', import.meta.url));
/** The first use of a GPU may compile for a minute. */
const PROBE_MS = 120_000;
const KEEP_CHARS = 8192;

/** What the process says. */
export type ProbeMessage = { ok: true; loadMs: number; runMs: number; error: number } | { ok: false; message: string };

export type ProbeOutcome =
	| { ok: true; loadMs: number; runMs: number; error: number }
	/** `detail` holds everything that the runtime and the loader printed. */
	| { ok: false; kind: 'refused' | 'wrong-numbers' | 'crashed' | 'silent'; message: string; detail: string };

export interface ProbeOptions {
	/** More variables for the process, like LD_LIBRARY_PATH. */
	env?: Record<string, string>;
	timeoutMs?: number;
	/** Stands in for the process in tests. */
	file?: string;
}

const judge = (message: ProbeMessage, detail: string): ProbeOutcome => {
	if (!message.ok) return { ok: false, kind: 'refused', message: message.message, detail };
	if (message.error <= PROBE_TOLERANCE) return message;
	return { ok: false, kind: 'wrong-numbers', message: `its results are off by ${message.error.toPrecision(2)}`, detail };
};

const endWords = (code: number | null, signal: string | null): string => (signal === null ? `code ${code ?? 0}` : signal);

/** Runs the probe model on a provider, with placement elsewhere forbidden. Never throws. */
export const probeProvider = (provider: DeviceKind, options: ProbeOptions = {}): Promise<ProbeOutcome> =>
	new Promise((resolve) => {
		const child = fork(options.file ?? CHILD_FILE, [provider], {
			serialization: 'advanced',
			stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
			execArgv: ['--disable-warning=ExperimentalWarning'],
			env: { ...process.env, ORT_DISABLE_TELEMETRY: '1', ...options.env },
		});
		let printed = '';
		let answer: ProbeMessage | undefined;
		let late = false;
		const keep = (chunk: Buffer): void => {
			printed = (printed + chunk.toString()).slice(-KEEP_CHARS);
		};
		child.stdout?.on('data', keep);
		child.stderr?.on('data', keep);
		child.on('message', (message) => {
			answer = message as ProbeMessage;
		});
		const timeoutMs = options.timeoutMs ?? PROBE_MS;
		const timer = setTimeout(() => {
			late = true;
			child.kill('SIGKILL');
		}, timeoutMs);
		child.on('error', (error) => keep(Buffer.from(error.message)));
		// After the last output, so that the loader's words are there.
		child.on('close', (code, signal) => {
			clearTimeout(timer);
			if (answer !== undefined) return resolve(judge(answer, printed));
			if (late) return resolve({ ok: false, kind: 'silent', message: `it did not answer within ${timeoutMs / 1000} s`, detail: printed });
			return resolve({ ok: false, kind: 'crashed', message: `its process ended with ${endWords(code, signal)}`, detail: printed });
		});
	});

/**
 * Finds a Python that can optimize models, and runs the script beside this file with it.
 * @module
 */
import { execFile, spawn } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import { UserError } from '../../lib/user-error.ts';

const SCRIPT = fileURLToPath(new URL('optimize.py', import.meta.url));
const PROBE_MS = 120_000;
const KEEP_CHARS = 4000;
const PACKAGES = 'onnx onnxruntime numpy sympy';

export const Versions = z.object({ python: z.string(), numpy: z.string(), onnx: z.string(), onnxruntime: z.string() });
export type Versions = z.infer<typeof Versions>;

export interface PythonTools {
	command: string;
	versions: Versions;
}

const binary = (folder: string): string =>
	process.platform === 'win32' ? join(folder, 'Scripts', 'python.exe') : join(folder, 'bin', 'python');

/** The environment that the advice makes, which is looked for without being named. */
export const ownEnvironment = (): string => join(process.env['XDG_DATA_HOME'] ?? join(homedir(), '.local', 'share'), 'limner', 'python');

/** Pythons to try, best first. */
export const candidates = (given: string | undefined, env: NodeJS.ProcessEnv): string[] => {
	if (given !== undefined) return [given];
	const { VIRTUAL_ENV: active } = env;
	return [...(active === undefined ? [] : [binary(active)]), binary(ownEnvironment()), 'python3', 'python'];
};

/** The commands that make what is needed. */
export const advice = (): string => `python3 -m venv ${ownEnvironment()} && ${binary(ownEnvironment())} -m pip install ${PACKAGES}`;

const tryPython = async (command: string): Promise<PythonTools | string> => {
	try {
		const { stdout } = await promisify(execFile)(command, [SCRIPT, 'probe'], { timeout: PROBE_MS });
		return { command, versions: Versions.parse(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')) };
	} catch (error) {
		const text = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
		return text.trim().split('\n').at(-1) || 'not found';
	}
};

/**
 * The first Python that has the tools.
 * @throws {UserError} with the commands that make one
 */
export const findPython = async (given: string | undefined, env: NodeJS.ProcessEnv = process.env): Promise<PythonTools> => {
	const reasons: string[] = [];
	for (const command of candidates(given, env)) {
		const found = await tryPython(command);
		if (typeof found !== 'string') return found;
		reasons.push(`${command}: ${found.replace(/\.$/, '')}`);
	}
	throw new UserError(
		`Models are optimized with ONNX Runtime's tools for Python, which were not found (${reasons.join('; ')}). Make them once with: ${advice()}`,
	);
};

export const ComponentResult = z.object({
	component: z.string(),
	/** Bytes of the graph and its weights. */
	before: z.number(),
	after: z.number(),
	/** Fused operators of the new graph. */
	fused: z.record(z.string(), z.number()),
});
export type ComponentResult = z.infer<typeof ComponentResult>;

export interface OptimizeRequest {
	source: string;
	target: string;
	fuse: boolean;
	fp16: boolean;
	int8: boolean;
	/** What the variant is for: some fused operators exist for CUDA only. */
	device: string;
}

const lineOf = (text: string): unknown => {
	try {
		return JSON.parse(text);
	} catch {
		// Progress bars and warnings of the tools.
		return undefined;
	}
};

/**
 * Makes the variant.
 * @throws {UserError} with the last words of the tools when they fail
 */
export const runOptimizer = (
	python: PythonTools,
	request: OptimizeRequest,
	onComponent: (result: ComponentResult) => void,
): Promise<void> =>
	new Promise((resolve, reject) => {
		const child = spawn(python.command, [SCRIPT, JSON.stringify(request)], { stdio: ['ignore', 'pipe', 'pipe'] });
		let words = '';
		let done = false;
		child.stderr.on('data', (chunk: Buffer) => {
			words = (words + chunk.toString()).slice(-KEEP_CHARS);
		});
		createInterface({ input: child.stdout }).on('line', (text) => {
			const line = lineOf(text);
			const component = ComponentResult.safeParse(line);
			if (component.success) onComponent(component.data);
			else if (typeof line === 'object' && line !== null && 'done' in line) done = true;
		});
		child.on('error', (error) => reject(new UserError(`${python.command} cannot be started: ${error.message}.`, { cause: error })));
		child.on('close', (code) => {
			if (code === 0 && done) return resolve();
			const last =
				words
					.trim()
					.split(/[\r\n]+/)
					.at(-1) ?? '';
			return reject(
				new UserError(`The tools could not optimize the model (${last === '' ? `code ${code ?? 0}` : last}); the original is as it was.`),
			);
		});
	});

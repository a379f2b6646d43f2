/**
 * Fetches the input pictures of a task into its own folder, which is wiped when the task has ended.
 * @module
 */
import { createWriteStream, readdirSync, rmSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BODY_LIMITS, type Task } from '@limner/shared';
import { call, GatewayError, UnreachableError } from '../client/http.ts';
import { sleep } from '../lib/backoff.ts';
import { EngineError, type EngineInputs } from '../engines/types.ts';

type TaskInput = Task['inputs'][number];

const TRIES = 4;
const TIMEOUT_MS = 60_000;

/** Lets at most the allowed number of bytes through. */
const bounded = async function* (source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
	let bytes = 0;
	for await (const chunk of source) {
		bytes += chunk.length;
		if (bytes > BODY_LIMITS.assetBytes) throw new EngineError('invalid', 'The input picture is larger than 20 MB.');
		yield chunk;
	}
};

const fetchOnce = async (gateway: string, url: string, file: string, signal: AbortSignal): Promise<void> => {
	const response = await call(gateway, '', url, { signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]) });
	if (response.body === null) throw new UnreachableError('The gateway sent an empty input picture.');
	await pipeline(bounded(Readable.fromWeb(response.body)), createWriteStream(file, { mode: 0o600 }));
};

/** A refusal that a repeat cannot mend. */
const isFinal = (error: unknown): boolean =>
	error instanceof EngineError || (error instanceof GatewayError && error.status < 500 && error.status !== 429);

/** The gateway answered, but not with the picture: its storage may be away, or what it stored is gone. No node does better. */
export const faultOf = (error: unknown): { fault?: 'gateway' } =>
	error instanceof EngineError && error.cause instanceof GatewayError ? { fault: 'gateway' } : {};

const fetchInput = async (gateway: string, input: TaskInput, file: string, signal: AbortSignal): Promise<void> => {
	for (let attempt = 1; ; attempt++) {
		try {
			return await fetchOnce(gateway, input.url, file, signal);
		} catch (error) {
			if (error instanceof EngineError) throw error;
			if (attempt >= TRIES || isFinal(error) || signal.aborted) {
				const why = error instanceof Error ? error.message : String(error);
				throw new EngineError('engine', `The input picture could not be fetched: ${why}`, error);
			}
			await sleep(Math.random() * 250 * 2 ** attempt, signal);
		}
	}
};

/**
 * Downloads the inputs of a task.
 * @returns paths for the engine
 * @throws {EngineError}
 */
export const fetchInputs = async (
	gateway: string,
	inputs: readonly TaskInput[],
	folder: string,
	signal: AbortSignal,
): Promise<EngineInputs> => {
	const paths: EngineInputs = {};
	// Each task has a folder of its own, also one without inputs: what an engine may put there is wiped with it.
	await mkdir(folder, { recursive: true, mode: 0o700 });
	for (const input of inputs) {
		const file = join(folder, input.role);
		await fetchInput(gateway, input, file, signal);
		paths[input.role] = file;
	}
	return paths;
};

const countFiles = (folder: string): number => {
	try {
		return readdirSync(folder, { recursive: true }).length + 1;
	} catch {
		return 0;
	}
};

/** Removes a task's folder at once; answers how many files and folders are left. */
export const wipeNow = (folder: string): number => {
	try {
		rmSync(folder, { recursive: true, force: true, maxRetries: 1 });
	} catch {
		// What is left is counted.
	}
	return countFiles(folder);
};

/** Removes a task's folder. */
export const wipeFolder = async (folder: string): Promise<void> => {
	await rm(folder, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);
};

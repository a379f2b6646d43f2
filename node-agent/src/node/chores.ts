/**
 * Tasks that a node does itself, beside its slots: pull a model, take one away, look at itself.
 * @module
 */
import { statfs } from 'node:fs/promises';
import { cpus, freemem, totalmem } from 'node:os';
import { join } from 'node:path';
import { isChore, type Device, type TaskType, type Task } from '@limner/shared';
import { createHubClient, type HubClient } from '../models/http.ts';
import { hubEndpoint, hubToken, parseRepoSpec } from '../models/hub.ts';
import { removeModel } from '../models/manage.ts';
import { pullModel } from '../models/pull.ts';
import { findRecordOf } from '../models/records.ts';
import type { StoredModel } from '../models/store.ts';
import { messageOf, UserError } from '../lib/user-error.ts';

const SOURCE_MS = 10_000;
/**
 * A cache of the node's own: what is removed when a model moves away must not be what another node or program of this
 * machine reads.
 */
const HUB_FOLDER = 'hub';

/** What a chore found or did: the task's report. */
export type Report = Record<string, unknown>;

/** The model source cannot be reached: no fault of the task. */
export class SourceError extends Error {
	override readonly name = 'SourceError';
}

/** The request cannot be done on any node, or not on this one however often it is tried. */
export class ChoreError extends Error {
	override readonly name = 'ChoreError';
}

export interface ChoreParts {
	/** Folder of models that a pull goes into, and other folders that may hold pulled models. */
	stores: readonly string[];
	/** Whether whoever owns the node lets its workspace bring and remove models. */
	mayPull: boolean;
	stateDir: string;
	devices: () => readonly Device[];
	engineName: string;
	models: () => readonly StoredModel[];
	/** A model came, or went when only its name is told. */
	onModel: (change: { came: StoredModel } | { gone: string }) => void;
	env?: NodeJS.ProcessEnv;
}

/** Waits for work that cannot be stopped at once, but no longer than anybody wants it. */
const unlessAborted = async <T>(work: Promise<T>, signal: AbortSignal): Promise<T> => {
	// Nobody may be left to hear of it, and a rejection that nobody hears ends the process.
	work.catch(() => undefined);
	signal.throwIfAborted();
	const aborted = Promise.withResolvers<never>();
	const stop = (): void => aborted.reject(new Error('cancelled'));
	signal.addEventListener('abort', stop, { once: true });
	try {
		return await Promise.race([work, aborted.promise]);
	} finally {
		signal.removeEventListener('abort', stop);
	}
};

export class Chores {
	readonly #parts: ChoreParts;
	readonly #env: NodeJS.ProcessEnv;
	/** Pulls one after the other: two would share the line anyway. */
	#pulling: Promise<unknown> = Promise.resolve();

	constructor(parts: ChoreParts) {
		this.#parts = parts;
		this.#env = parts.env ?? process.env;
	}

	/** What the node offers besides pictures. */
	get taskTypes(): TaskType[] {
		return ['RESEARCH', 'HEARTBEAT', 'DISCOVERY', ...(this.#parts.mayPull ? (['INGEST', 'MIGRATION'] as const) : [])];
	}

	/**
	 * Does a task that needs no device.
	 * @throws {SourceError | ChoreError | UserError}
	 */
	async run({ spec, index }: Pick<Task, 'spec' | 'index'>, onFraction: (fraction: number) => void, signal: AbortSignal): Promise<Report> {
		const type = spec.taskType ?? 'GENERAL';
		if (!isChore(type) || !this.taskTypes.includes(type)) throw new ChoreError(`This node does not do ${type} tasks.`);
		if (type === 'DISCOVERY') return this.#probe(spec.params?.modelSource !== false, signal);
		if (type === 'MIGRATION' && index === 1) return this.#remove(spec.model);
		const source = spec.params?.source;
		if (source === undefined) throw new ChoreError('The task does not say where the model comes from.');
		return this.#pull(source, spec.params?.name ?? spec.model, onFraction, signal);
	}

	async #pull(source: string, name: string, onFraction: (fraction: number) => void, signal: AbortSignal): Promise<Report> {
		const here = this.#parts.models().find((model) => model.name === name);
		if (here !== undefined) return { model: name, sha256: here.sha256, bytes: here.info.bytes, already: true };
		const before = this.#pulling.catch(() => undefined);
		const work = before.then(async () => this.#pullNow(source, name, onFraction));
		this.#pulling = work;
		return unlessAborted(work, signal);
	}

	async #pullNow(source: string, name: string, onFraction: (fraction: number) => void): Promise<Report> {
		const [store = ''] = this.#parts.stores;
		const client = createHubClient(hubEndpoint(this.#env), hubToken(this.#env), this.#env);
		const began = performance.now();
		let fetched = 0;
		try {
			const spec = parseRepoSpec(source);
			const hooks = {
				onPlan: () => undefined,
				onProgress: (bytes: number, total: number) => {
					fetched = bytes;
					onFraction(total === 0 ? 1 : Math.min(1, bytes / total));
				},
				onNote: () => undefined,
			};
			const model = await pullModel({ client, spec, hub: join(this.#parts.stateDir, HUB_FOLDER), store, name, hooks });
			this.#parts.onModel({ came: model });
			const { sha256, info } = model;
			const at = info.source === undefined ? {} : { source: info.source };
			return { model: model.name, sha256, bytes: info.bytes, fetchedBytes: fetched, ms: Math.round(performance.now() - began), ...at };
		} catch (error) {
			if (!(error instanceof UserError)) throw error;
			// Whatever went wrong: when the source is away, that is why.
			await this.#reachSource(client);
			throw error;
		} finally {
			client.close();
		}
	}

	async #remove(name: string): Promise<Report> {
		if (!this.#parts.models().some((model) => model.name === name)) return { model: name, removed: false, why: 'It is not here.' };
		const entry = findRecordOf(this.#parts.stores, name, this.#parts.models())?.entry;
		if (entry === undefined) throw new ChoreError(`The model ${name} was not pulled by this node, so it is left where it is.`);
		const freedBytes = await removeModel(entry, this.#parts.stores, false);
		this.#parts.onModel({ gone: name });
		return { model: name, removed: true, freedBytes };
	}

	/** @throws {SourceError} when nothing answers there */
	async #reachSource({ endpoint }: Pick<HubClient, 'endpoint'>): Promise<{ endpoint: string; status: number; ms: number }> {
		const began = performance.now();
		try {
			const answer = await fetch(endpoint, { method: 'HEAD', redirect: 'manual', signal: AbortSignal.timeout(SOURCE_MS) });
			if (answer.status >= 500) throw new Error(`HTTP ${answer.status}`);
			return { endpoint, status: answer.status, ms: Math.round(performance.now() - began) };
		} catch (error) {
			throw new SourceError(`${endpoint} cannot be reached (${messageOf(error)})`);
		}
	}

	async #probe(withSource: boolean, signal: AbortSignal): Promise<Report> {
		const endpoint = hubEndpoint(this.#env);
		const modelSource = withSource ? { modelSource: await unlessAborted(this.#reachSource({ endpoint }), signal) } : {};
		const { bavail, bsize } = await statfs(this.#parts.stateDir);
		return {
			node: process.versions.node,
			platform: `${process.platform}-${process.arch}`,
			cpu: { model: cpus()[0]?.model ?? '', cores: cpus().length },
			memory: { totalBytes: totalmem(), freeBytes: freemem() },
			disk: { freeBytes: bavail * bsize },
			engine: this.#parts.engineName,
			devices: this.#parts.devices(),
			taskTypes: this.taskTypes,
			models: this.#parts.models().map(({ info }) => ({
				name: info.name,
				sha256: info.sha256,
				bytes: info.bytes,
				operations: info.operations,
				...(info.source === undefined ? {} : { source: info.source }),
			})),
			...modelSource,
		};
	}
}

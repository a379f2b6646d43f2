/**
 * Fetches models that the pool asks a node for, within the disk that its owner gave it. What was fetched this way may go
 * again to make room: the model that was used longest ago first.
 * @module
 */
import { join } from 'node:path';
import { ModelName } from '@limner/shared';
import { UserError } from '../lib/user-error.ts';
import { createHubClient } from './http.ts';
import { hubCacheDir } from './hub-cache.ts';
import { hubEndpoint, hubToken, listFiles, parseRepoSpec, repoInfo, type RepoSpec } from './hub.ts';
import { removeModel } from './manage.ts';
import { pullModel } from './pull.ts';
import { listRecords, type PullRecord } from './records.ts';
import { selectFiles } from './select.ts';
import type { StoredModel } from './store.ts';

/** A model that the node fetched by itself. */
export interface Fetched {
	entry: string;
	bytes: number;
	/** Milliseconds since the epoch; 0 when it was not used since the node started. */
	usedAt: number;
}

const gib = (value: number): string => `${(value / 1024 ** 3).toFixed(1)} GiB`;

/**
 * What must go so that a new model fits, or why nothing helps.
 * @param needed bytes of the new model
 * @param taken bytes that models and waiting pictures take now
 * @param fetched what may go
 */
export const planRoom = (
	needed: number,
	taken: number,
	maxBytes: number | undefined,
	fetched: readonly Fetched[],
): { ok: true; remove: string[] } | { ok: false; sentence: string } => {
	if (maxBytes === undefined) return { ok: true, remove: [] };
	const remove: string[] = [];
	let over = taken + needed - maxBytes;
	for (const { entry, bytes } of fetched.toSorted((a, b) => a.usedAt - b.usedAt)) {
		if (over <= 0) break;
		remove.push(entry);
		over -= bytes;
	}
	if (over <= 0) return { ok: true, remove };
	return { ok: false, sentence: `it takes ${gib(needed)}, and --max-disk is ${gib(maxBytes)}, of which ${gib(taken)} are used` };
};

export interface FetcherOptions {
	/** Folder of models that gets them. */
	store: string;
	/** Bytes for models and waiting pictures together; unbounded when absent. */
	maxBytes?: number | undefined;
	/** Bytes of pictures that wait for their upload. */
	waitingBytes: () => number;
	/** Models that some slot has loaded now. */
	loaded: () => ReadonlySet<string>;
	onNote: (sentence: string) => void;
	env?: NodeJS.ProcessEnv;
}

const bytesOf = (record: PullRecord): number => record.files.reduce((sum, file) => sum + file.bytes, 0);

export class ModelFetcher {
	readonly #options: FetcherOptions;
	readonly #usedAt = new Map<string, number>();
	#last: Promise<unknown> = Promise.resolve();

	constructor(options: FetcherOptions) {
		this.#options = options;
	}

	/** A task uses a model. */
	used(name: string, now = Date.now()): void {
		this.#usedAt.set(name, now);
	}

	/**
	 * Pulls a model, one at a time.
	 * @param source `owner/name@commit`
	 * @param name what the pool calls it
	 * @throws {UserError} when it cannot be had, or there is no room
	 */
	fetch(source: string, name: string): Promise<StoredModel> {
		const next = this.#last.then(() => this.#fetch(parseRepoSpec(source), name));
		this.#last = next.catch(() => undefined);
		return next;
	}

	async #fetch(spec: RepoSpec, name: string): Promise<StoredModel> {
		if (!ModelName.safeParse(name).success || name.includes('/'))
			throw new UserError(`The model "${name}" cannot be fetched: its name is no name of a folder.`);
		const env = this.#options.env ?? process.env;
		const client = createHubClient(hubEndpoint(env), hubToken(env), env);
		try {
			await this.#makeRoom(await this.#sizeOf(client, spec), name);
			return await pullModel({
				client,
				spec,
				hub: hubCacheDir(env),
				store: this.#options.store,
				name,
				auto: true,
				hooks: { onPlan: () => undefined, onProgress: () => undefined, onNote: this.#options.onNote },
			});
		} finally {
			client.close();
		}
	}

	async #sizeOf(client: ReturnType<typeof createHubClient>, spec: RepoSpec): Promise<number> {
		const { commit } = await repoInfo(client, spec);
		return selectFiles(await listFiles(client, spec, commit)).reduce((sum, file) => sum + file.bytes, 0);
	}

	async #makeRoom(needed: number, name: string): Promise<void> {
		const { store, maxBytes, waitingBytes, loaded } = this.#options;
		const records = listRecords(store).filter((record) => record.kind === 'pull');
		const taken = records.filter((record) => record.entry !== name).reduce((sum, record) => sum + bytesOf(record), waitingBytes());
		const inUse = loaded();
		const fetched = records
			.filter((record) => record.auto === true && record.entry !== name && !inUse.has(record.entry))
			.map((record) => ({ entry: record.entry, bytes: bytesOf(record), usedAt: this.#usedAt.get(record.entry) ?? 0 }));
		const plan = planRoom(needed, taken, maxBytes, fetched);
		if (!plan.ok) throw new UserError(`The model "${name}" is not fetched: ${plan.sentence}.`);
		for (const entry of plan.remove) {
			await removeModel(entry, [store], false);
			this.#options.onNote(`The model ${entry}, which the node had fetched, makes room for ${name}.`);
		}
	}
}

const OUTBOX_MAX_BYTES = 1024 ** 3;

/** Of `--max-disk`, what is kept for pictures that wait for their upload: a quarter, and 1 GiB at most. */
export const pictureShare = (maxBytes: number | undefined): number | undefined =>
	maxBytes === undefined ? undefined : Math.min(OUTBOX_MAX_BYTES, Math.floor(maxBytes / 4));

/** The folder that fetched models go into, beside the node's other state. */
export const fetchStore = (stateDir: string): string => join(stateDir, 'models');

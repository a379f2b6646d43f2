/**
 * Brings a model from a hub into a folder of models: a pinned commit, only the files that ONNX needs, each one checked.
 * @module
 */
import { lstatSync, statfsSync } from 'node:fs';
import { rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { ModelName, PULL_LIMITS } from '@limner/shared';
import { UserError } from '../lib/user-error.ts';
import { allOrFirst, bytesHere, downloadBlob, Gate, type DownloadContext } from './download.ts';
import { fileUrl, listFiles, repoInfo, type HubFile, type RepoInfo, type RepoSpec } from './hub.ts';
import { linksAllowed, lockRepo, makeFolder, placeFile, repoCache, writeRef, type RepoCache } from './hub-cache.ts';
import type { HubClient } from './http.ts';
import { readRecord, writeRecord } from './records.ts';
import { filesToPull } from './select.ts';
import { readModel, type StoredModel } from './store.ts';

/** What a download will bring, told before it begins. */
export interface PullPlan {
	commit: string;
	files: number;
	bytes: number;
	/** Bytes of it that are on this machine already. */
	here: number;
	licence?: string;
}

export interface PullHooks {
	onPlan: (plan: PullPlan) => void;
	/** Bytes of the plan that are here by now. */
	onProgress: (bytes: number, total: number) => void;
	onNote: (sentence: string) => void;
}

export interface PullOptions {
	client: HubClient;
	spec: RepoSpec;
	/** Folder of the Hugging Face cache. */
	hub: string;
	/** Folder of models that gets the new one. */
	store: string;
	/** Name of the model's folder in the store; the repository's when left out. */
	name?: string;
	connections?: number;
	/** Makes copies where links are allowed, too. */
	copies?: boolean;
	/** A node fetches it by itself. A model that a person pulled stays theirs. */
	auto?: boolean;
	pieceBytes?: number;
	retryFirstMs?: number;
	/** Free bytes of the disk that holds a folder. */
	freeBytes?: (folder: string) => number;
	hooks: PullHooks;
}

const freeBytesOf = (folder: string): number => {
	const { bavail, bsize } = statfsSync(folder);
	return bavail * bsize;
};

const gibibytes = (bytes: number): string => `${(bytes / 1024 ** 3).toFixed(2)} GiB`;

/** Where links are not allowed, the cache, its snapshot and the model's folder each hold the bytes. */
const COPIES = 3;

/**
 * Refuses a download that the disk has no room for.
 * @throws {UserError} that says how much there is and how much is needed
 */
export const checkRoom = (needed: number, free: number, folder: string): void => {
	if (needed + PULL_LIMITS.freeAfterBytes <= free) return;
	throw new UserError(
		`The download needs ${gibibytes(needed + PULL_LIMITS.freeAfterBytes)} of disk and ${folder} has ${gibibytes(free)} free; free some, or set HF_HUB_CACHE to a folder on a larger disk.`,
	);
};

/** Name of the model's folder. @throws {UserError} when the name is not allowed or taken by something else */
export const entryName = (options: Pick<PullOptions, 'name' | 'spec' | 'store'>): string => {
	const entry = options.name ?? options.spec.repo.split('/').at(-1) ?? options.spec.repo;
	if (!ModelName.safeParse(entry).success || /[/\\]|^\./.test(entry))
		throw new UserError(`"${entry}" cannot be the name of a model; choose one of letters, digits and . _ - with --name.`);
	const path = join(options.store, entry);
	const taken = lstatSync(path, { throwIfNoEntry: false }) !== undefined;
	const record = readRecord(options.store, entry);
	const own = record?.kind === 'pull' && record.repo === options.spec.repo;
	if (taken && !own) {
		const what = record?.kind === 'pull' ? `the model of ${record.repo}` : 'something else';
		throw new UserError(`${path} is ${what} already; give this one another name with --name.`);
	}
	return entry;
};

/**
 * Makes `path` show the model: a link to its folder (a junction on Windows, which needs no rights), or a folder of copies.
 * @param files with the absolute path of each one's content
 */
export const placeModel = async (
	folder: string,
	path: string,
	files: readonly { path: string; at: string }[],
	copies: boolean,
): Promise<void> => {
	await rm(path, { recursive: true, force: true });
	if (!copies) {
		try {
			return await symlink(folder, path, 'junction');
		} catch {
			// No links here: copies, then.
		}
	}
	for (const file of files) await placeFile(file.at, join(path, file.path), false);
};

const downloadAll = async (
	options: PullOptions,
	cache: RepoCache,
	info: RepoInfo,
	files: readonly HubFile[],
	links: boolean,
): Promise<void> => {
	const { client, spec, hooks } = options;
	const free = options.freeBytes ?? freeBytesOf;
	const blobOf = (file: HubFile): string => join(cache.blobs, file.oid);
	const unique = [...new Map(files.map((file) => [file.oid, file])).values()];
	let total = unique.reduce((sum, file) => sum + file.bytes, 0);
	let here = 0;
	for (const file of unique) here += Math.min(file.bytes, await bytesHere(blobOf(file)));
	const factor = links ? 1 : COPIES;
	checkRoom((total - here) * factor, free(cache.blobs), options.hub);
	hooks.onPlan({
		commit: info.commit,
		files: files.length,
		bytes: total,
		here,
		...(info.licence === undefined ? {} : { licence: info.licence }),
	});
	let done = 0;
	const context: DownloadContext = {
		client,
		spec,
		gate: new Gate(options.connections ?? PULL_LIMITS.connectionsDefault),
		abort: new AbortController(),
		onBytes: (bytes) => {
			done += bytes;
			hooks.onProgress(done, total);
		},
		onGrowth: (bytes) => {
			total += bytes;
			if (bytes > 0) checkRoom(Math.max(0, total - done) * factor, free(cache.blobs), options.hub);
		},
		onNote: hooks.onNote,
		pieceBytes: options.pieceBytes ?? PULL_LIMITS.pieceBytes,
		retryFirstMs: options.retryFirstMs ?? PULL_LIMITS.retryFirstMs,
	};
	// The large ones first: they take longest, and the small ones fill the gaps.
	const order = unique.toSorted((a, b) => b.bytes - a.bytes);
	await allOrFirst(
		order.map((file) => downloadBlob(file, fileUrl(client.endpoint, spec.repo, info.commit, file.path), blobOf(file), context)),
		context.abort,
	);
};

const fetchIntoCache = async (options: PullOptions, cache: RepoCache, info: RepoInfo, files: readonly HubFile[]): Promise<boolean> => {
	await makeFolder(cache.blobs);
	const links = options.copies !== true && (await linksAllowed(cache.blobs));
	await downloadAll(options, cache, info, files, links);
	const snapshot = cache.snapshot(info.commit);
	for (const file of files) await placeFile(join(cache.blobs, file.oid), join(snapshot, file.path), links);
	await writeRef(cache, options.spec.revision, info.commit);
	return links;
};

/**
 * Downloads a model, or what of it is missing, and makes it visible in the store.
 * @throws {UserError} when it cannot be had or is no model that works here
 */
export const pullModel = async (options: PullOptions): Promise<StoredModel> => {
	const { client, spec, hub, store } = options;
	const entry = entryName(options);
	const info = await repoInfo(client, spec);
	const files = filesToPull(await listFiles(client, spec, info.commit), spec);
	const cache = repoCache(hub, spec.repo);
	await makeFolder(hub);
	await makeFolder(store);
	const unlock = await lockRepo(cache);
	try {
		const links = await fetchIntoCache(options, cache, info, files);
		const blobs = files.map((file) => ({ path: file.path, at: join(cache.blobs, file.oid) }));
		await writeRecord(store, {
			kind: 'pull',
			entry,
			repo: spec.repo,
			revision: spec.revision,
			commit: info.commit,
			endpoint: client.endpoint,
			hub,
			files,
			...(info.licence === undefined ? {} : { licence: info.licence }),
			...(options.auto === true ? { auto: true } : {}),
		});
		await placeModel(cache.snapshot(info.commit), join(store, entry), blobs, !links);
	} finally {
		await unlock();
	}
	const read = await readModel(join(store, entry));
	if (!read.ok) throw new UserError(`${spec.repo} was downloaded, but does not work here. ${read.broken.sentence}`);
	return read.model;
};

/**
 * The cache that Hugging Face's own tools use: `models--owner--name/{blobs,snapshots,refs}`. What they have downloaded is
 * found here, and what is downloaded here is found by them.
 * @module
 */
import { constants, existsSync, readdirSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { copyFile, link, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { UserError } from '../lib/user-error.ts';
import { hfHome } from './hub.ts';

export interface RepoCache {
	/** Folder of the whole cache. */
	hub: string;
	/** Folder of this repository. */
	root: string;
	blobs: string;
	snapshot: (commit: string) => string;
}

/** Folder of the cache, as the environment says. */
export const hubCacheDir = (env: NodeJS.ProcessEnv): string =>
	resolve(env['HF_HUB_CACHE'] || env['HUGGINGFACE_HUB_CACHE'] || join(hfHome(env), 'hub'));

export const repoCache = (hub: string, repo: string): RepoCache => {
	const root = join(hub, `models--${repo.replaceAll('/', '--')}`);
	return { hub, root, blobs: join(root, 'blobs'), snapshot: (commit) => join(root, 'snapshots', commit) };
};

/** Makes a folder and those above it. @throws {UserError} when it cannot be written */
export const makeFolder = async (folder: string): Promise<void> => {
	try {
		await mkdir(folder, { recursive: true });
	} catch (error) {
		const code = error instanceof Error && 'code' in error ? String(error.code) : 'it cannot be made';
		throw new UserError(`${folder} cannot be made (${code}); choose another place with HF_HUB_CACHE or --models, or change its owner.`, {
			cause: error,
		});
	}
};

/** Whether links can be made in a folder: not on Windows without developer mode, nor on FAT. */
export const linksAllowed = async (folder: string): Promise<boolean> => {
	const probe = await mkdtemp(join(folder, '.limner-probe-'));
	try {
		await symlink('nowhere', join(probe, 'link'));
		return true;
	} catch {
		return false;
	} finally {
		await rm(probe, { recursive: true, force: true });
	}
};

/** Makes a file appear at `path` with the content of `target`: a relative link, or a copy. Replaces what is there. */
export const placeFile = async (target: string, path: string, links: boolean): Promise<void> => {
	await makeFolder(dirname(path));
	const temporary = `${path}.${process.pid}.tmp`;
	await rm(temporary, { force: true });
	if (links) await symlink(relative(dirname(path), target), temporary);
	else await link(target, temporary).catch(() => copyFile(target, temporary, constants.COPYFILE_FICLONE));
	await rename(temporary, path);
};

/** Notes which commit a branch or tag was, for tools that look it up offline. */
export const writeRef = async (cache: RepoCache, revision: string, commit: string): Promise<void> => {
	if (revision === commit) return;
	const path = join(cache.root, 'refs', ...revision.split('/'));
	await makeFolder(dirname(path));
	await writeFile(path, commit);
};

const isRunning = (pid: number): boolean => {
	try {
		process.kill(pid, 0);
		return true;
	} catch (error) {
		return error instanceof Error && 'code' in error && error.code === 'EPERM';
	}
};

/**
 * Keeps two downloads of one repository out of each other's files.
 * @returns what ends the lock
 * @throws {UserError} when another process holds it
 */
export const lockRepo = async (cache: RepoCache): Promise<() => Promise<void>> => {
	const path = join(cache.hub, '.locks', `${cache.root.slice(cache.hub.length + 1)}.limner`);
	await makeFolder(dirname(path));
	for (;;) {
		try {
			await writeFile(path, String(process.pid), { flag: 'wx' });
			return () => rm(path, { force: true });
		} catch (error) {
			if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
			const holder = Number(await readFile(path, 'utf8').catch(() => '0'));
			if (holder > 0 && holder !== process.pid && isRunning(holder))
				throw new UserError(
					`Another download of this model is running (process ${holder}); wait for it, or end it and run the command again.`,
				);
			// Its owner is gone.
			await rm(path, { force: true });
		}
	}
};

/** Names of blobs that the snapshots of a repository link to, without those of one commit. */
const blobsInUse = (cache: RepoCache, without: string): Set<string> => {
	const used = new Set<string>();
	const snapshots = join(cache.root, 'snapshots');
	const commits = existsSync(snapshots) ? readdirSync(snapshots) : [];
	for (const commit of commits.filter((name) => name !== without)) {
		for (const entry of readdirSync(join(snapshots, commit), { recursive: true, withFileTypes: true })) {
			if (!entry.isSymbolicLink()) continue;
			used.add(readlinkSync(join(entry.parentPath, entry.name)).split(/[\\/]/).at(-1) ?? '');
		}
	}
	return used;
};

/** Removes files of a commit and the blobs that no other commit uses. Answers the bytes that this freed. */
export const removeSnapshotFiles = (cache: RepoCache, commit: string, files: readonly { path: string; oid: string }[]): number => {
	const used = blobsInUse(cache, commit);
	let freed = 0;
	for (const file of files) {
		rmSync(join(cache.snapshot(commit), file.path), { force: true });
		const blob = join(cache.blobs, file.oid);
		if (used.has(file.oid) || !existsSync(blob)) continue;
		freed += statSync(blob).size;
		rmSync(blob);
	}
	removeEmpty(cache.snapshot(commit));
	const snapshots = join(cache.root, 'snapshots');
	// Refs to a commit that is not there would mislead tools that work offline.
	if (!existsSync(snapshots) || readdirSync(snapshots).length === 0) rmSync(cache.root, { recursive: true, force: true });
	return freed;
};

/** Removes a folder with the empty folders in it; one that holds a file stays. */
const removeEmpty = (folder: string): void => {
	if (!existsSync(folder)) return;
	for (const entry of readdirSync(folder, { withFileTypes: true })) if (entry.isDirectory()) removeEmpty(join(folder, entry.name));
	if (readdirSync(folder).length === 0) rmSync(folder, { recursive: true });
};

/**
 * Fetches an archive: from an index, an address, or a file that is here already. Downloads resume after a cut, and are kept
 * only when their sha256 is right.
 * @module
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, statfsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { PULL_LIMITS } from '@limner/shared';
import { UserError } from '../lib/user-error.ts';
import { downloadBlob, Gate } from '../models/download.ts';
import { unreachable } from '../models/hub.ts';
import { createHubClient, type HubClient } from '../models/http.ts';

/** What a user sets to name another index. */
export const INDEX_SETTING = '--index';

export interface Archive {
	path: string;
	sha256: string;
	/** Whether the hash was compared with one from elsewhere. */
	checked: boolean;
}

export interface FetchHooks {
	onProgress: (bytes: number, total: number) => void;
	onNote: (sentence: string) => void;
}

export const sha256Of = async (path: string): Promise<string> => {
	const hash = createHash('sha256');
	for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
	return hash.digest('hex');
};

/** A client for any address, without the hub's token. */
export const createClient = (address: string): HubClient => ({
	...createHubClient(new URL(address).origin, undefined, process.env),
	mirror: INDEX_SETTING,
});

const totalOf = async (client: HubClient, url: string): Promise<number> => {
	try {
		const answer = await client.get(url, { range: 'bytes=0-0' });
		answer.body.destroy();
		if (answer.status >= 400) throw new UserError(`${url} answers ${answer.status}; check the address.`);
		const range = /\/(\d+)$/.exec(answer.headers['content-range'] ?? '')?.[1];
		return Number(range ?? answer.headers['content-length'] ?? 1);
	} catch (error) {
		throw error instanceof UserError ? error : unreachable(new URL(url).origin, error, client.mirror);
	}
};

const gib = (value: number): string => `${(value / 1024 ** 3).toFixed(1)} GiB`;

const checkRoom = (folder: string, bytes: number): void => {
	const { bavail, bsize } = statfsSync(folder);
	// The archive, and what it holds.
	const needed = bytes * 3 + PULL_LIMITS.freeAfterBytes;
	if (bavail * bsize >= needed) return;
	throw new UserError(
		`${folder} has ${gib(bavail * bsize)} free and about ${gib(needed)} are needed; free some, or set LIMNER_GPU_DIR to a folder on a larger disk.`,
	);
};

/** Nothing is known to compare with: what comes is hashed and taken, in one go. */
const fetchUnchecked = async (client: HubClient, url: string, path: string, total: number, hooks: FetchHooks): Promise<string> => {
	const hash = createHash('sha256');
	let done = 0;
	const count = async function* (body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
		for await (const chunk of body) {
			hash.update(chunk);
			hooks.onProgress((done += chunk.length), total);
			yield chunk;
		}
	};
	try {
		const answer = await client.get(url);
		await pipeline(answer.body, count, createWriteStream(path));
	} catch (error) {
		throw unreachable(new URL(url).origin, error, client.mirror);
	}
	if (total > 1 && done !== total) throw new UserError(`${url} ended after ${done} of ${total} bytes; run the command again.`);
	return hash.digest('hex');
};

/**
 * Downloads a file into a folder.
 * @param expected sha256, where it is known
 * @throws {UserError} when it cannot be had, or is another file than was promised
 */
export const fetchArchive = async (
	url: string,
	folder: string,
	expected: { sha256?: string; size?: number },
	hooks: FetchHooks,
): Promise<Archive> => {
	await mkdir(folder, { recursive: true });
	const client = createClient(url);
	try {
		const size = expected.size ?? (await totalOf(client, url));
		const name = basename(new URL(url).pathname);
		const sha256 = expected.sha256?.toLowerCase();
		const path = join(folder, `${sha256?.slice(0, 16) ?? 'unchecked'}-${name}`);
		if (!existsSync(path)) checkRoom(folder, size);
		if (sha256 === undefined) return { path, sha256: await fetchUnchecked(client, url, path, size, hooks), checked: false };
		let [done, total] = [0, size];
		await downloadBlob({ path: name, bytes: size, oid: sha256, kind: 'sha256' }, url, path, {
			client,
			spec: { repo: name, revision: 'main' },
			gate: new Gate(PULL_LIMITS.connectionsDefault),
			abort: new AbortController(),
			onBytes: (bytes) => hooks.onProgress((done += bytes), total),
			onGrowth: (bytes) => {
				total += bytes;
			},
			onNote: hooks.onNote,
			pieceBytes: PULL_LIMITS.pieceBytes,
			retryFirstMs: PULL_LIMITS.retryFirstMs,
		});
		return { path, sha256, checked: true };
	} finally {
		client.close();
	}
};

/** A file that is here already. @throws {UserError} when it is not there or another than was promised */
export const localArchive = async (path: string, expected: string | undefined): Promise<Archive> => {
	if (!existsSync(path)) throw new UserError(`There is no file ${path}; check the path after --provider.`);
	const sha256 = await sha256Of(path);
	if (expected !== undefined && expected.toLowerCase() !== sha256)
		throw new UserError(`${path} has the sha256 ${sha256} and not ${expected.toLowerCase()}; get it again.`);
	return { path, sha256, checked: expected !== undefined };
};

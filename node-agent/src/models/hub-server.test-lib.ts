/**
 * A hub for tests: the API of huggingface.co over files in memory, and everything that can go wrong with a download.
 * @module
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

export const COMMIT = 'c0ffee'.repeat(7).slice(0, 40);
const LFS_OVER = 100_000;
const CHUNK = 16_384;

export interface HubFaults {
	/** Cuts the connection after this many bytes of a body, once each. */
	cuts: { path: string; after: number }[];
	/** Sizes that the list names instead of the true ones. */
	listed: Record<string, number>;
	/** Lengths of the whole file that answers name instead of the true ones, once each. */
	totals: Record<string, number>;
	/** Bodies that arrive with one byte changed, this many times. */
	flips: Record<string, number>;
	/** Statuses that come before the file, in order. */
	statuses: Record<string, number[]>;
	/** Answers the whole file to every range. */
	ignoreRanges: boolean;
	gated: boolean;
	/** Bytes a second of each connection. */
	bytesPerS?: number;
}

export interface TestHub {
	url: string;
	/** Bytes of file bodies that were sent. */
	served: () => number;
	cutsMade: () => number;
	/** Range requests by path. */
	requests: { path: string; range: string | undefined; token: string | undefined; host: 'hub' | 'store' }[];
	files: Map<string, Buffer>;
	faults: HubFaults;
	close: () => void;
}

/** Files of a folder by path. */
export const readTree = (folder: string): Map<string, Buffer> =>
	new Map(
		readdirSync(folder, { recursive: true, encoding: 'utf8' })
			.filter((path) => statSync(join(folder, path)).isFile())
			.map((path) => [path.replaceAll('\\', '/'), readFileSync(join(folder, path))]),
	);

const isLarge = (content: Buffer): boolean => content.length > LFS_OVER;
const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
export const oidOf = (content: Buffer): string =>
	isLarge(content) ? sha256(content) : createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');

const listen = (server: Server): Promise<string> =>
	new Promise((resolve) => {
		server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
	});

const json = (response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void => {
	response.writeHead(status, { 'content-type': 'application/json', ...headers });
	response.end(JSON.stringify(body));
};

const drained = async (response: ServerResponse): Promise<void> => {
	while (response.writableNeedDrain && !response.destroyed) await new Promise((resolve) => setTimeout(resolve, 1));
};

class HubServer {
	readonly requests: TestHub['requests'] = [];
	served = 0;
	cutsMade = 0;
	url = '';
	storeUrl = '';
	readonly repo: string;
	readonly files: Map<string, Buffer>;
	readonly faults: HubFaults;

	constructor(repo: string, files: Map<string, Buffer>, faults: HubFaults) {
		this.repo = repo;
		this.files = files;
		this.faults = faults;
	}

	#entry(path: string, content: Buffer): object {
		const size = this.faults.listed[path] ?? content.length;
		const lfs = isLarge(content) ? { lfs: { oid: sha256(content), size, pointerSize: 130 } } : {};
		return { type: 'file', path, size, oid: isLarge(content) ? 'f'.repeat(40) : oidOf(content), ...lfs };
	}

	/** The list comes in pages of ten. */
	#tree(url: URL, response: ServerResponse): void {
		const all = [...this.files].map(([path, content]) => this.#entry(path, content));
		const from = Number(url.searchParams.get('cursor') ?? 0);
		const next = `${this.url}${url.pathname}?recursive=true&cursor=${from + 10}`;
		const more: Record<string, string> = from + 10 < all.length ? { link: `<${next}>; rel="next"` } : {};
		json(response, 200, [{ type: 'directory', path: 'unet', size: 0, oid: 'e'.repeat(40) }, ...all.slice(from, from + 10)], more);
	}

	/** The bytes that go out for a range, with what the faults make of them. */
	#body(path: string, content: Buffer, start: number, end: number): { body: Buffer; stop: number; cut: boolean } {
		const { cuts, flips } = this.faults;
		const body = Buffer.from(content.subarray(start, end));
		const left = flips[path] ?? 0;
		if (left > 0 && body.length > 0) {
			flips[path] = left - 1;
			body.writeUInt8(body.readUInt8(body.length >> 1) ^ 1, body.length >> 1);
		}
		const index = cuts.findIndex((one) => one.path === path && one.after < body.length);
		const [cut] = index === -1 ? [] : cuts.splice(index, 1);
		return { body, stop: cut?.after ?? body.length, cut: cut !== undefined };
	}

	#range(request: IncomingMessage, length: number): { start: number; end: number; whole: boolean } {
		const range = this.faults.ignoreRanges ? null : /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
		if (range === null) return { start: 0, end: length, whole: true };
		return { start: Number(range[1]), end: Math.min(length, Number(range[2]) + 1), whole: false };
	}

	async #send(path: string, content: Buffer, request: IncomingMessage, response: ServerResponse): Promise<void> {
		const status = this.faults.statuses[path]?.shift();
		if (status !== undefined) return json(response, status, {});
		const { start, end, whole } = this.#range(request, content.length);
		if (start >= content.length) return json(response, 416, {}, { 'content-range': `bytes */${content.length}` });
		const total = this.faults.totals[path] ?? content.length;
		delete this.faults.totals[path];
		const { body, stop, cut } = this.#body(path, content, start, end);
		const headers = whole ? {} : { 'content-range': `bytes ${start}-${end - 1}/${total}` };
		response.writeHead(whole ? 200 : 206, { 'content-length': body.length, ...headers });
		await this.#write(body.subarray(0, stop), response);
		if (!cut) return void response.end();
		this.cutsMade++;
		// What was written arrives; then nothing more.
		setTimeout(() => response.socket?.destroy(), 20);
	}

	async #write(body: Buffer, response: ServerResponse): Promise<void> {
		const { bytesPerS } = this.faults;
		for (let at = 0; at < body.length && !response.destroyed; at += CHUNK) {
			const chunk = body.subarray(at, at + CHUNK);
			response.write(chunk);
			this.served += chunk.length;
			if (bytesPerS !== undefined) await new Promise((resolve) => setTimeout(resolve, (chunk.length * 1000) / bytesPerS));
			await drained(response);
		}
	}

	#file(path: string, request: IncomingMessage, response: ServerResponse): void {
		const content = this.files.get(path);
		const token = request.headers.authorization;
		this.requests.push({ path, range: request.headers.range, token, host: 'hub' });
		if (this.faults.gated && token !== 'Bearer hf_right')
			return json(response, token === undefined ? 401 : 403, { error: 'gated' }, { 'x-error-code': 'GatedRepo' });
		if (content === undefined) return json(response, 404, {}, { 'x-error-code': 'EntryNotFound' });
		if (!isLarge(content)) return void this.#send(path, content, request, response);
		response.writeHead(302, { location: `${this.storeUrl}/${encodeURIComponent(path)}` });
		response.end();
	}

	/** Answers as the store of large files, which knows no tokens. */
	answerStore(request: IncomingMessage, response: ServerResponse): void {
		const path = decodeURIComponent(new URL(request.url ?? '/', 'http://x').pathname.slice(1));
		this.requests.push({ path, range: request.headers.range, token: request.headers.authorization, host: 'store' });
		void this.#send(path, this.files.get(path) ?? Buffer.alloc(0), request, response);
	}

	answerHub(request: IncomingMessage, response: ServerResponse): void {
		const url = new URL(request.url ?? '/', this.url);
		const [api, file] = [`/api/models/${this.repo}/`, `/${this.repo}/resolve/${COMMIT}/`];
		if (url.pathname.startsWith(file)) return this.#file(decodeURIComponent(url.pathname.slice(file.length)), request, response);
		if (!url.pathname.startsWith(api)) return json(response, 401, {}, { 'x-error-code': 'RepoNotFound' });
		const what = url.pathname.slice(api.length);
		if (what === `tree/${COMMIT}`) return this.#tree(url, response);
		if (what !== 'revision/main' && what !== `revision/${COMMIT}`) return json(response, 404, {}, { 'x-error-code': 'RevisionNotFound' });
		json(response, 200, { sha: COMMIT, gated: this.faults.gated ? 'manual' : false, cardData: { license: 'openrail++' } });
	}
}

/** Starts a hub that has one repository at one commit, whose large files another server gives out. */
export const startHub = async (repo: string, files: Map<string, Buffer>, given: Partial<HubFaults> = {}): Promise<TestHub> => {
	const faults: HubFaults = { cuts: [], listed: {}, totals: {}, flips: {}, statuses: {}, ignoreRanges: false, gated: false, ...given };
	const state = new HubServer(repo, files, faults);
	const hub = createServer((request, response) => state.answerHub(request, response));
	const store = createServer((request, response) => state.answerStore(request, response));
	state.url = await listen(hub);
	state.storeUrl = await listen(store);
	return {
		url: state.url,
		served: () => state.served,
		cutsMade: () => state.cutsMade,
		requests: state.requests,
		files,
		faults,
		close: () => {
			for (const server of [hub, store]) {
				server.closeAllConnections();
				server.close();
			}
		},
	};
};

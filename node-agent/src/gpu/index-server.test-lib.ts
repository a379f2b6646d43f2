/**
 * A package index for tests: the simple API over wheels in memory, in JSON and in HTML, with ranges and one cut.
 * @module
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { crc32 } from 'node:zlib';

/** A zip file whose entries are stored as they are (PKWARE APPNOTE 4.3). */
export const storedZip = (entries: Record<string, Buffer>): Buffer => {
	const locals: Buffer[] = [];
	const central: Buffer[] = [];
	let at = 0;
	for (const [name, data] of Object.entries(entries)) {
		const path = Buffer.from(name);
		const common = Buffer.alloc(26);
		common.writeUInt16LE(20, 0);
		common.writeUInt32LE(crc32(data), 10);
		common.writeUInt32LE(data.length, 14);
		common.writeUInt32LE(data.length, 18);
		common.writeUInt16LE(path.length, 22);
		const local = Buffer.concat([Buffer.from('PK\u0003\u0004'), common, path, data]);
		const tail = Buffer.alloc(14);
		tail.writeUInt32LE(at, 10);
		central.push(Buffer.concat([Buffer.from('PK\u0001\u0002'), Buffer.from([20, 0]), common, tail, path]));
		locals.push(local);
		at += local.length;
	}
	const directory = Buffer.concat(central);
	const end = Buffer.alloc(18);
	end.writeUInt16LE(central.length, 4);
	end.writeUInt16LE(central.length, 6);
	end.writeUInt32LE(directory.length, 8);
	end.writeUInt32LE(at, 12);
	return Buffer.concat([...locals, directory, Buffer.from('PK\u0005\u0006'), end]);
};

const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

export class IndexServer {
	url = '';
	/** Bytes of files that were sent. */
	sent = 0;
	/** Files whose connection is cut once after this many bytes. */
	cuts = new Map<string, number>();
	/** Projects that are listed in HTML. */
	html = new Set<string>();
	/** Hashes that the index names instead of the true ones. */
	wrongHash = new Map<string, string>();
	readonly projects = new Map<string, Map<string, Buffer>>();
	readonly #http: Server = createServer((request, response) => this.#answer(request, response));

	static async start(): Promise<IndexServer> {
		const server = new IndexServer();
		await new Promise<void>((resolve) => server.#http.listen(0, '127.0.0.1', resolve));
		server.url = `http://127.0.0.1:${(server.#http.address() as AddressInfo).port}/simple`;
		return server;
	}

	add(project: string, filename: string, entries: Record<string, Buffer>): Buffer {
		const files = this.projects.get(project) ?? new Map<string, Buffer>();
		const data = storedZip(entries);
		files.set(filename, data);
		this.projects.set(project, files);
		return data;
	}

	stop(): Promise<void> {
		this.#http.closeAllConnections();
		return new Promise((resolve) => this.#http.close(() => resolve()));
	}

	#answer(request: IncomingMessage, response: ServerResponse): void {
		const [, top = '', name = '', file = ''] = (request.url ?? '').split('/');
		const files = this.projects.get(name);
		if (files === undefined) response.writeHead(404).end();
		else if (top === 'simple') this.#list(name, files, response);
		else this.#send(decodeURIComponent(file), files.get(decodeURIComponent(file)), request, response);
	}

	#list(project: string, files: Map<string, Buffer>, response: ServerResponse): void {
		const rows = [...files].map(([filename, data]) => ({
			filename,
			url: `../../files/${project}/${filename}`,
			hashes: { sha256: this.wrongHash.get(filename) ?? sha256(data) },
			size: data.length,
			yanked: filename.includes('yanked'),
		}));
		if (!this.html.has(project)) {
			response.writeHead(200, { 'content-type': 'application/vnd.pypi.simple.v1+json' }).end(JSON.stringify({ files: rows }));
			return;
		}
		const links = rows.map(
			(row) => `<a href="${row.url}#sha256=${row.hashes.sha256}"${row.yanked ? ' data-yanked=""' : ''}>${row.filename}</a><br/>`,
		);
		response.writeHead(200, { 'content-type': 'text/html' }).end(`<!DOCTYPE html><body>${links.join('\n')}</body>`);
	}

	#send(name: string, data: Buffer | undefined, request: IncomingMessage, response: ServerResponse): void {
		if (data === undefined) return void response.writeHead(404).end();
		const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
		const from = Number(range?.[1] ?? 0);
		const body = data.subarray(from, range?.[2] ? Number(range[2]) + 1 : undefined);
		const headers = { 'content-length': String(body.length) };
		if (range === null) response.writeHead(200, headers);
		else response.writeHead(206, { ...headers, 'content-range': `bytes ${from}-${from + body.length - 1}/${data.length}` });
		const cut = this.cuts.get(name);
		if (cut !== undefined && body.length > cut) {
			this.cuts.delete(name);
			this.sent += cut;
			return void response.write(body.subarray(0, cut), () => response.destroy());
		}
		this.sent += body.length;
		return void response.end(body);
	}
}

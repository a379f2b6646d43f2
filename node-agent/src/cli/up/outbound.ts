/**
 * Every request that the local gateway makes to the outside. Only public addresses are connected to, judged after the
 * name was resolved, so that no name that points into the local network gets through. workerd's own setting for this
 * is not offered by this version of Miniflare.
 * @module
 */
import { lookup, type LookupAddress } from 'node:dns';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isPublicAddress, urlProblem } from '@limner/shared';
import { Response, type Request } from 'miniflare';

/** Answers are looked at for their status: what is longer than this is cut off. */
const ANSWER_BYTES = 64 * 1024;

/** Resolves a name and refuses it when any of its addresses is not public. */
export const publicLookup: LookupFunction = (hostname, options, callback) => {
	lookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
		const [first] = addresses ?? [];
		if (error !== null) return callback(error, '');
		if (first === undefined || !addresses.every(({ address }) => isPublicAddress(address))) {
			return callback(Object.assign(new Error(`${hostname} is an address of a private network`), { code: 'EACCES' }), '');
		}
		return options.all === true ? callback(null, addresses) : callback(null, first.address, first.family);
	});
};

const headersOf = (message: IncomingMessage): [string, string][] =>
	Object.entries(message.headers).flatMap(([name, value]) =>
		value === undefined || ['transfer-encoding', 'content-length', 'connection', 'content-encoding'].includes(name)
			? []
			: [[name, Array.isArray(value) ? value.join(', ') : value]],
	);

const bodyOf = async (message: IncomingMessage): Promise<Buffer> => {
	const parts: Buffer[] = [];
	let bytes = 0;
	for await (const part of message) {
		parts.push(part as Buffer);
		bytes += (part as Buffer).length;
		if (bytes >= ANSWER_BYTES) break;
	}
	return Buffer.concat(parts).subarray(0, ANSWER_BYTES);
};

const NO_BODY: ReadonlySet<number> = new Set([101, 204, 205, 304]);

/** Headers that belong to one connection, which another one sets itself. */
const HOP_BY_HOP: ReadonlySet<string> = new Set(['host', 'connection', 'transfer-encoding', 'keep-alive']);

/** Lets a request to the operator's own storage through as it is: whole, streaming, and into private networks too. */
const passThrough = async (url: URL, request: Request): Promise<Response> => {
	const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
	const headers = Object.fromEntries([...request.headers].filter(([name]) => !HOP_BY_HOP.has(name)));
	const outgoing = send(url, { method: request.method, headers, signal: request.signal });
	const answer = new Promise<IncomingMessage>((resolve, reject) => {
		outgoing.once('response', resolve);
		outgoing.once('error', reject);
	});
	// A body that breaks off destroys the request, so that the storage never takes half of it for the whole.
	if (request.body === null) outgoing.end();
	else void pipeline(Readable.fromWeb(request.body), outgoing).catch((error: Error) => outgoing.destroy(error));
	const message = await answer;
	const status = message.statusCode ?? 502;
	const kept = Object.entries(message.headers).flatMap(([name, value]): [string, string][] =>
		value === undefined || HOP_BY_HOP.has(name) ? [] : [[name, Array.isArray(value) ? value.join(', ') : value]],
	);
	const empty = NO_BODY.has(status) || request.method === 'HEAD';
	if (empty) message.resume();
	return new Response(empty ? null : (Readable.toWeb(message) as ReadableStream<Uint8Array>), { status, headers: kept });
};

const originOf = (address: string | undefined): string | undefined => {
	if (address === undefined || !URL.canParse(address)) return undefined;
	return new URL(address).origin;
};

/**
 * Makes the handler of outgoing requests.
 * @param allowPrivate also http and private networks
 * @param storage address of the S3 endpoint, which only the operator chooses: requests to it are not judged
 */
export const outboundHandler = (allowPrivate: boolean, storage?: string) => {
	const own = originOf(storage);
	return async (request: Request): Promise<Response> => {
		const url = new URL(request.url);
		if (url.origin === own) return passThrough(url, request);
		const problem = urlProblem(request.url, allowPrivate);
		if (problem !== undefined || (!allowPrivate && isIP(url.hostname) !== 0 && !isPublicAddress(url.hostname))) {
			return new Response(`refused: ${problem ?? 'private address'}`, { status: 403 });
		}
		const body = Buffer.from(await request.arrayBuffer());
		const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
		const headers = Object.fromEntries([...request.headers].filter(([name]) => name !== 'host' && name !== 'content-length'));
		const message = await new Promise<IncomingMessage>((resolve, reject) => {
			const outgoing = send(url, {
				method: request.method,
				headers: { ...headers, ...(body.length === 0 ? {} : { 'content-length': body.length }) },
				...(allowPrivate ? {} : { lookup: publicLookup }),
				signal: request.signal,
			});
			outgoing.once('response', resolve);
			outgoing.once('error', reject);
			outgoing.end(body);
		});
		const status = message.statusCode ?? 502;
		const answer = await bodyOf(message);
		message.destroy();
		return new Response(NO_BODY.has(status) ? null : answer, { status, headers: headersOf(message) });
	};
};

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

/**
 * Makes the handler of outgoing requests.
 * @param allowPrivate also http and private networks
 */
export const outboundHandler =
	(allowPrivate: boolean) =>
	async (request: Request): Promise<Response> => {
		const url = new URL(request.url);
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

/**
 * The storage port on any S3 endpoint, signed with Signature Version 4. Needs `If-None-Match: *` on PutObject, which AWS, R2 and
 * MinIO have: without it two attempts at one key could overwrite each other.
 * @module
 */
import { AwsV4Signer } from 'aws4fetch';
import { createHash } from 'node:crypto';
import {
	BATCH_KEYS,
	StorageError,
	type ByteRange,
	type PutBody,
	type PutOptions,
	type Storage,
	type StoredBody,
	type StoredObject,
} from '../port.ts';
import type { S3Config } from './config.ts';
import { s3Error } from './errors.ts';
import { deleteBody, deleteErrors, readList } from './xml.ts';

/** Derived keys live for a day; one a credential. */
const signingKeys = new Map<string, ArrayBuffer>();
const TRIES = 3;
const FIRST_PAUSE_MS = 100;
/** For the head of an answer to a request that carries no stream. */
const ANSWER_MS = 20_000;
const META = 'x-amz-meta-';

interface Call {
	method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
	key?: string;
	query?: Record<string, string>;
	headers?: Record<string, string>;
	body?: Uint8Array<ArrayBuffer> | string | ReadableStream<Uint8Array>;
}

const base64 = (hex: string): string => Buffer.from(hex, 'hex').toString('base64');
const fromBase64 = (text: string): string => Buffer.from(text, 'base64').toString('hex');

/** As the signature encodes paths: servers that compare the raw text must see the same. */
const encodePath = (key: string): string =>
	encodeURIComponent(key)
		.replaceAll('%2F', '/')
		.replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);

/** Address of an object, or of the bucket. */
const addressOf = (config: S3Config, key = '', query: Record<string, string> = {}): URL => {
	const path = encodePath(key);
	const url = new URL(`${config.endpoint}/${config.bucket}${key === '' ? '' : `/${path}`}`);
	for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
	return url;
};

const signerOf = (config: S3Config): Pick<ConstructorParameters<typeof AwsV4Signer>[0], 'accessKeyId' | 'secretAccessKey' | 'region'> => ({
	accessKeyId: config.accessKeyId,
	secretAccessKey: config.secretAccessKey,
	region: config.region,
});

const sendOnce = async (config: S3Config, call: Call): Promise<Response> => {
	const { method, key, query, headers = {}, body } = call;
	const url = addressOf(config, key, query).href;
	const signed = await new AwsV4Signer({ ...signerOf(config), method, url, headers, service: 's3', cache: signingKeys }).sign();
	const late = new AbortController();
	const timer = body instanceof ReadableStream ? undefined : setTimeout(() => late.abort(), ANSWER_MS);
	try {
		return await fetch(signed.url, {
			method,
			headers: signed.headers,
			redirect: 'manual',
			signal: late.signal,
			...(body === undefined ? {} : { body }),
		});
	} catch (error) {
		const why = late.signal.aborted ? `no answer within ${ANSWER_MS / 1000} s` : error instanceof Error ? error.message : String(error);
		throw new StorageError('unavailable', `S3: ${method} failed: ${why}`, error);
	} finally {
		clearTimeout(timer);
	}
};

/** Statuses that mean something to the caller; every other one is an error. */
type Expected = readonly number[];

const attempt = async (config: S3Config, call: Call, expected: Expected): Promise<Response> => {
	const response = await sendOnce(config, call);
	if (response.ok || expected.includes(response.status)) return response;
	const xml = call.method === 'HEAD' ? '' : await response.text().catch(() => '');
	throw s3Error(call.method, response.status, xml);
};

/** Sends, again when that may help: a stream is gone after the first time. */
const send = async (config: S3Config, call: Call, expected: Expected = []): Promise<Response> => {
	for (let tries = 1; ; tries++) {
		try {
			return await attempt(config, call, expected);
		} catch (error) {
			const again = error instanceof StorageError && error.retryable && !(call.body instanceof ReadableStream);
			if (!again || tries === TRIES) throw error;
			await new Promise((resolve) => setTimeout(resolve, FIRST_PAUSE_MS * 2 ** tries * Math.random()));
		}
	}
};

const metadataOf = (headers: Headers): Record<string, string> => {
	const metadata: Record<string, string> = {};
	headers.forEach((value, name) => {
		if (name.startsWith(META)) metadata[name.slice(META.length)] = value;
	});
	return metadata;
};

const infoOf = (key: string, { headers }: Response): StoredObject => {
	const total = /\/(\d+)$/.exec(headers.get('content-range') ?? '')?.[1];
	const contentType = headers.get('content-type');
	const sha256 = headers.get('x-amz-checksum-sha256');
	return {
		key,
		size: Number(total ?? headers.get('content-length') ?? 0),
		etag: headers.get('etag') ?? '""',
		uploaded: new Date(headers.get('last-modified') ?? 0),
		metadata: metadataOf(headers),
		...(contentType === null ? {} : { contentType }),
		// A sum of parts has a number behind it and is not the object's.
		...(sha256 === null || sha256.includes('-') ? {} : { sha256: fromBase64(sha256) }),
	};
};

const CHECKSUMS = { 'x-amz-checksum-mode': 'ENABLED' };

/** 404 of GET says whether the object is missing or the bucket is. */
const missing = async (response: Response): Promise<null> => {
	const error = s3Error('GET', response.status, await response.text().catch(() => ''));
	if (error.kind === 'misconfigured') throw error;
	return null;
};

const get = async (config: S3Config, key: string, range?: ByteRange): Promise<StoredBody | null> => {
	const headers = range === undefined ? CHECKSUMS : { range: `bytes=${range.offset}-${range.offset + range.length - 1}` };
	const response = await send(config, { method: 'GET', key, headers }, [404]);
	if (response.status === 404) return missing(response);
	if (response.body === null) throw new StorageError('unavailable', 'S3: GET answered no body');
	return { ...infoOf(key, response), body: response.body };
};

const checksums = (sha256: string): Record<string, string> => ({
	'x-amz-content-sha256': sha256,
	'x-amz-checksum-sha256': base64(sha256),
	'x-amz-sdk-checksum-algorithm': 'SHA256',
});

/** Headers of a PutObject that bind what may be stored. */
const putHeaders = ({ createOnly, sha256, contentType, metadata = {} }: PutOptions): Record<string, string> => ({
	...(createOnly === true ? { 'if-none-match': '*' } : {}),
	...(contentType === undefined ? {} : { 'content-type': contentType }),
	...Object.fromEntries(Object.entries(metadata).map(([name, value]) => [`${META}${name}`, value])),
	...(sha256 === undefined ? {} : checksums(sha256)),
});

const put = async (config: S3Config, key: string, body: PutBody, options: PutOptions): Promise<boolean> => {
	const bytes = body instanceof Uint8Array ? (body as Uint8Array<ArrayBuffer>) : undefined;
	const sha256 = options.sha256 ?? (bytes === undefined ? undefined : createHash('sha256').update(bytes).digest('hex'));
	const headers = putHeaders({ ...options, ...(sha256 === undefined ? {} : { sha256 }) });
	const call: Call = { method: 'PUT', key, headers, body: bytes ?? (body as { stream: ReadableStream<Uint8Array> }).stream };
	const response = await send(config, call, options.createOnly === true ? [412] : []);
	await response.body?.cancel();
	return response.ok;
};

const remove = async (config: S3Config, keys: readonly string[]): Promise<void> => {
	const body = deleteBody(keys);
	const headers = {
		'content-type': 'application/xml',
		'content-md5': createHash('md5').update(body).digest('base64'),
		'x-amz-content-sha256': createHash('sha256').update(body).digest('hex'),
	};
	const response = await send(config, { method: 'POST', query: { delete: '' }, headers, body });
	const [failed] = deleteErrors(await response.text());
	if (failed !== undefined) throw new StorageError('unavailable', `S3: ${failed.key} could not be deleted (${failed.code})`);
};

const listQuery = ({ prefix, cursor, limit = BATCH_KEYS }: Parameters<Storage['list']>[0]): Record<string, string> => ({
	'list-type': '2',
	'encoding-type': 'url',
	'max-keys': String(limit),
	prefix,
	...(cursor === undefined ? {} : { 'continuation-token': cursor }),
});

export const s3Storage = (config: S3Config): Storage => ({
	head: async (key) => {
		const response = await send(config, { method: 'HEAD', key, headers: CHECKSUMS }, [404]);
		return response.status === 404 ? null : infoOf(key, response);
	},
	get: (key, range) => get(config, key, range),
	put: (key, body, options = {}) => put(config, key, body, options),
	delete: async (keys) => {
		const all = typeof keys === 'string' ? [keys] : keys;
		for (let i = 0; i < all.length; i += BATCH_KEYS) await remove(config, all.slice(i, i + BATCH_KEYS));
	},
	list: async (query) => readList(await (await send(config, { method: 'GET', query: listQuery(query) })).text()),
});

export interface PresignedPut {
	url: string;
	/** To be sent as they are: they are part of the signature. `content-length` is sent by itself. */
	headers: Record<string, string>;
}

/**
 * An address at which somebody without credentials may create one object: exactly this key, length, type and hash, and only while
 * nothing is there.
 * @param options.expiresS seconds, 1 to 604,800
 */
export const presignPut = async (
	config: S3Config,
	key: string,
	options: { bytes: number; sha256: string; contentType: string; expiresS: number },
): Promise<PresignedPut> => {
	const { 'x-amz-content-sha256': _unsigned, ...headers } = putHeaders({ ...options, createOnly: true });
	const url = addressOf(config, key, { 'X-Amz-Expires': String(options.expiresS) }).href;
	const signed = await new AwsV4Signer({
		...signerOf(config),
		method: 'PUT',
		url,
		headers: { ...headers, 'content-length': String(options.bytes) },
		service: 's3',
		signQuery: true,
		allHeaders: true,
		cache: signingKeys,
	}).sign();
	return { url: signed.url.href, headers };
};

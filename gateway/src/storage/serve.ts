/**
 * Serves stored bytes: entity tags, ranges, and headers that keep a browser from treating them as anything but a picture.
 * @module
 */
import { imageId, LimnerError } from '@limner/shared';
import { ifRangeAllows, noneMatchHits, readRange } from './conditional.ts';
import type { ByteRange, Storage, StoredObject } from './port.ts';

export interface ServeOptions {
	key: string;
	contentType: string;
	/** Value of `Cache-Control`. */
	cacheControl: string;
}

const GONE = 'the picture has expired or was removed';

/** A name for `Save as…`, made from the key of a picture or an asset. */
export const fileNameOf = (key: string, contentType: string): string => {
	const [kind, , id = '', index] = key.split('/');
	const extension = contentType
		.slice('image/'.length)
		.replace('jpeg', 'jpg')
		.replaceAll(/[^a-z0-9]/g, '');
	const stem = kind === 'w' && index !== undefined ? imageId(id, Number(index)) : id;
	return `${stem.replaceAll(/[^\w-]/g, '')}.${extension}`;
};

const headersOf = (object: StoredObject, { key, contentType, cacheControl }: ServeOptions): Headers =>
	new Headers({
		'Content-Type': contentType,
		'Content-Length': String(object.size),
		'Content-Disposition': `inline; filename="${fileNameOf(key, contentType)}"`,
		'Cache-Control': cacheControl,
		'Content-Security-Policy': "sandbox; default-src 'none'",
		'Cross-Origin-Resource-Policy': 'cross-origin',
		'X-Content-Type-Options': 'nosniff',
		'Accept-Ranges': 'bytes',
		ETag: object.etag,
		'Last-Modified': object.uploaded.toUTCString(),
	});

const gone = (): LimnerError => new LimnerError('gone', { detail: GONE });

const notModified = (headers: Headers): Response => {
	headers.delete('Content-Length');
	return new Response(null, { status: 304, headers });
};

const unsatisfiable = (headers: Headers, size: number): Response => {
	headers.set('Content-Range', `bytes */${size}`);
	headers.set('Content-Length', '0');
	return new Response(null, { status: 416, headers });
};

const partial = async (storage: Storage, object: StoredObject, options: ServeOptions, range: ByteRange): Promise<Response> => {
	// The object is immutable under its key, so that only its removal can happen between the two reads.
	const body = await storage.get(options.key, range);
	if (body === null) throw gone();
	const headers = headersOf(object, options);
	headers.set('Content-Range', `bytes ${range.offset}-${range.offset + range.length - 1}/${object.size}`);
	headers.set('Content-Length', String(range.length));
	return new Response(body.body, { status: 206, headers });
};

/** HEAD, or a GET with a range: the size is needed before the bytes. */
const serveByHead = async (storage: Storage, request: Request, options: ServeOptions): Promise<Response | undefined> => {
	const object = await storage.head(options.key);
	if (object === null) throw gone();
	const headers = headersOf(object, options);
	if (noneMatchHits(request.headers.get('if-none-match'), object.etag)) return notModified(headers);
	if (request.method === 'HEAD') return new Response(null, { headers });
	if (!ifRangeAllows(request.headers.get('if-range'), object.etag)) return undefined;
	const range = readRange(request.headers.get('range'), object.size);
	if (range === 'full') return undefined;
	return range === 'unsatisfiable' ? unsatisfiable(headers, object.size) : partial(storage, object, options, range);
};

/**
 * Answers GET and HEAD for one object.
 * @throws {LimnerError} `gone` when there is no such object
 */
export const serveObject = async (storage: Storage, request: Request, options: ServeOptions): Promise<Response> => {
	if (request.method === 'HEAD' || request.headers.has('range')) {
		const answer = await serveByHead(storage, request, options);
		if (answer !== undefined) return answer;
	}
	const object = await storage.get(options.key);
	if (object === null) throw gone();
	const headers = headersOf(object, options);
	if (noneMatchHits(request.headers.get('if-none-match'), object.etag)) {
		await object.body.cancel();
		return notModified(headers);
	}
	return new Response(object.body, { headers });
};

/**
 * The storage port on R2's binding: Cloudflare's R2, or the R2 API on disk that Miniflare offers a local gateway.
 * @module
 */
import {
	BATCH_KEYS,
	StorageError,
	type ByteRange,
	type ListPage,
	type PutBody,
	type PutOptions,
	type Storage,
	type StorageErrorKind,
	type StoredBody,
	type StoredObject,
} from './port.ts';

/** Codes at the end of R2's messages (its page "Error codes"); whatever is not here counts as a moment's trouble. */
const KINDS: Record<string, StorageErrorKind> = {
	10002: 'denied',
	10003: 'denied',
	10006: 'misconfigured',
	10012: 'rejected',
	10013: 'checksum',
	10014: 'checksum',
	10020: 'rejected',
	10037: 'checksum',
	10042: 'misconfigured',
	100100: 'too_large',
};

const storageError = (error: unknown): StorageError => {
	if (error instanceof StorageError) return error;
	const message = error instanceof Error ? error.message : String(error);
	const code = /\((\d{5,6})\)\s*$/.exec(message)?.[1] ?? '';
	return new StorageError(KINDS[code] ?? 'unavailable', `R2: ${message}`, error);
};

const guard = async <T>(work: () => Promise<T>): Promise<T> => {
	try {
		return await work();
	} catch (error) {
		throw storageError(error);
	}
};

const hex = (bytes: ArrayBuffer): string => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, '0')).join('');

const infoOf = (object: R2Object): StoredObject => {
	const { contentType } = object.httpMetadata ?? {};
	const { sha256 } = object.checksums;
	return {
		key: object.key,
		size: object.size,
		etag: object.httpEtag,
		uploaded: object.uploaded,
		metadata: object.customMetadata ?? {},
		...(contentType === undefined ? {} : { contentType }),
		...(sha256 === undefined ? {} : { sha256: hex(sha256) }),
	};
};

const put = async (bucket: R2Bucket, key: string, body: PutBody, options: PutOptions): Promise<boolean> => {
	const { createOnly, sha256, contentType, metadata } = options;
	const object = await bucket.put(key, body instanceof Uint8Array ? body : body.stream, {
		...(createOnly === true ? { onlyIf: { etagDoesNotMatch: '*' } } : {}),
		...(sha256 === undefined ? {} : { sha256 }),
		...(contentType === undefined ? {} : { httpMetadata: { contentType } }),
		...(metadata === undefined ? {} : { customMetadata: metadata }),
	});
	return object !== null;
};

const list = async (bucket: R2Bucket, query: { prefix: string; cursor?: string; limit?: number }): Promise<ListPage> => {
	const page = await bucket.list(query);
	const objects = page.objects.map(({ key, size, uploaded }) => ({ key, size, uploaded }));
	return page.truncated ? { objects, cursor: page.cursor } : { objects };
};

/** @param bucket read at each call, so that a store can be made before anything is known of it */
export const r2Storage = (bucket: R2Bucket): Storage => ({
	head: (key) =>
		guard(async () => {
			const object = await bucket.head(key);
			return object === null ? null : infoOf(object);
		}),
	get: (key: string, range?: ByteRange) =>
		guard(async (): Promise<StoredBody | null> => {
			const object = await bucket.get(key, range === undefined ? {} : { range });
			return object === null ? null : { ...infoOf(object), body: object.body };
		}),
	put: (key, body, options = {}) => guard(() => put(bucket, key, body, options)),
	delete: (keys) =>
		guard(async () => {
			const all = typeof keys === 'string' ? [keys] : keys;
			for (let i = 0; i < all.length; i += BATCH_KEYS) await bucket.delete(all.slice(i, i + BATCH_KEYS));
		}),
	list: (query) => guard(() => list(bucket, query)),
});

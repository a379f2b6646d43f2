/**
 * The port to object storage: what the gateway needs of a store, and how a store fails. Implemented by R2's binding (on
 * Cloudflare, and on disk by Miniflare) and by any S3 endpoint. How long objects live is the Workspace's decision, whose rows name
 * them: a store only removes what is older than it is told.
 * @module
 */

export type StorageErrorKind =
	/** No answer, overloaded, or broken for the moment: the same call may succeed later. */
	| 'unavailable'
	/** The credentials are wrong or may not do this. */
	| 'denied'
	/** A setting is missing or wrong, or the bucket does not exist. */
	| 'misconfigured'
	/** The bytes are not those that were announced: hash or length differ. */
	| 'checksum'
	/** The store takes no object of this size. */
	| 'too_large'
	/** The store does not take the call at all. */
	| 'rejected';

/** What every implementation throws, and nothing else. */
export class StorageError extends Error {
	override readonly name = 'StorageError';
	readonly kind: StorageErrorKind;
	constructor(kind: StorageErrorKind, message: string, cause?: unknown) {
		super(message, { cause });
		this.kind = kind;
	}

	/** Whether the same call may succeed in a moment. */
	get retryable(): boolean {
		return this.kind === 'unavailable';
	}
}

export interface StoredObject {
	key: string;
	/** Bytes of the whole object, also when a part of it was read. */
	size: number;
	/** Quoted entity tag. */
	etag: string;
	uploaded: Date;
	contentType?: string;
	/** Lower-case hex, when the store knows it. */
	sha256?: string;
	/** Free text by lower-case name; ASCII, 2 KB in all. */
	metadata: Record<string, string>;
}

export interface StoredBody extends StoredObject {
	body: ReadableStream<Uint8Array>;
}

export interface ListedObject {
	key: string;
	size: number;
	uploaded: Date;
}

export interface ListPage {
	objects: ListedObject[];
	/** Absent on the last page. */
	cursor?: string;
}

/** Bytes in memory, or a stream that ends after exactly `length` bytes (a `FixedLengthStream`'s). */
export type PutBody = Uint8Array | { stream: ReadableStream<Uint8Array>; length: number };

export interface PutOptions {
	/** Fences a write: an object that is there already stays, and `put` answers false. */
	createOnly?: boolean;
	/** Lower-case hex. The store compares it with what arrives, and stores nothing that differs. */
	sha256?: string;
	contentType?: string;
	metadata?: Record<string, string>;
}

/** A slice of an object in bytes. */
export interface ByteRange {
	offset: number;
	length: number;
}

/** Every method throws {@link StorageError} and nothing else. Writes are whole or not at all. */
export interface Storage {
	/** `null` = there is no such object. */
	head: (key: string) => Promise<StoredObject | null>;
	get: (key: string, range?: ByteRange) => Promise<StoredBody | null>;
	/** Answers whether the object was written; false only with `createOnly`. */
	put: (key: string, body: PutBody, options?: PutOptions) => Promise<boolean>;
	/** Deletes what is there; a key that is not is no error. */
	delete: (keys: string | readonly string[]) => Promise<void>;
	/** Keys in ascending order, at most 1000 a page. */
	list: (query: { prefix: string; cursor?: string; limit?: number }) => Promise<ListPage>;
}

/** Both stores delete and list at most so many objects in one call. */
export const BATCH_KEYS = 1000;

/**
 * Removes objects below a prefix that were stored before a time: one bounded step.
 * @param beforeMs milliseconds since the epoch
 * @returns whether objects may be left that one more step would remove
 */
export const removeOlder = async (
	storage: Pick<Storage, 'list' | 'delete'>,
	prefix: string,
	beforeMs: number,
	limit: number = BATCH_KEYS,
): Promise<boolean> => {
	let cursor: string | undefined;
	let left = limit;
	do {
		const page = await storage.list({ prefix, ...(cursor === undefined ? {} : { cursor }) });
		const due = page.objects.filter(({ uploaded }) => uploaded.getTime() < beforeMs).map(({ key }) => key);
		const now = due.slice(0, left);
		if (now.length > 0) await storage.delete(now);
		left -= now.length;
		if (due.length > now.length) return true;
		({ cursor } = page);
		if (left === 0) return cursor !== undefined;
	} while (cursor !== undefined);
	return false;
};

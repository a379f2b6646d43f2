/**
 * Finished pictures.
 * @module
 */
import type { CallOptions, Http } from './http.ts';
import type { GalleryImage, ImageMetadata, Page, PageQuery } from './types.ts';

const path = (id: string): string => `/api/v1/images/${encodeURIComponent(id)}`;

export class Gallery {
	readonly #http: Http;
	constructor(http: Http) {
		this.#http = http;
	}

	/** One page of pictures, newest job first. */
	list(query: PageQuery = {}, options: CallOptions = {}): Promise<Page<GalleryImage>> {
		return this.#http.json('/api/v1/images', { ...options, query: { ...query } });
	}

	/** All pictures, newest job first, read page by page. */
	async *all(options: CallOptions & { pageSize?: number } = {}): AsyncGenerator<GalleryImage, void, undefined> {
		let cursor: string | undefined;
		do {
			const query = { limit: options.pageSize ?? 50, ...(cursor === undefined ? {} : { cursor }) };
			const page = await this.list(query, options);
			yield* page.data;
			cursor = page.nextCursor ?? undefined;
		} while (cursor !== undefined);
	}

	/** Everything that is known of a picture, with a fresh signed URL. */
	get(id: string, options: CallOptions = {}): Promise<ImageMetadata> {
		return this.#http.json(`${path(id)}/metadata`, options);
	}

	/** Bytes of a picture. */
	async bytes(id: string, options: CallOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
		return new Uint8Array(await (await this.#http.request(path(id), options)).arrayBuffer());
	}

	/** A picture as a Blob, for `URL.createObjectURL` or a download. */
	async blob(id: string, options: CallOptions = {}): Promise<Blob> {
		return (await this.#http.request(path(id), options)).blob();
	}

	/** Removes a picture of a finished job for ever. */
	async delete(id: string, options: CallOptions = {}): Promise<void> {
		await this.#http.request(path(id), { ...options, method: 'DELETE' });
	}
}

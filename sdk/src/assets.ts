/**
 * Input pictures.
 * @module
 */
import { LimnerError } from './errors.ts';
import type { CallOptions, Http } from './http.ts';
import type { Asset } from './types.ts';

/** Bytes of a PNG, JPEG or WebP picture. */
export type PictureBytes = Blob | Uint8Array<ArrayBuffer> | ArrayBuffer;

/** First bytes of the formats; `undefined` stands for any byte. */
const SIGNATURES: readonly (readonly [type: string, bytes: readonly (number | undefined)[]])[] = [
	['image/png', [0x89, 0x50, 0x4e, 0x47]],
	['image/jpeg', [0xff, 0xd8, 0xff]],
	['image/webp', [0x52, 0x49, 0x46, 0x46, undefined, undefined, undefined, undefined, 0x57, 0x45, 0x42, 0x50]],
];

/** Content type of a picture by its first bytes, or `undefined`. */
export const pictureType = (head: Uint8Array): string | undefined =>
	SIGNATURES.find(([, bytes]) => bytes.every((byte, i) => byte === undefined || head[i] === byte))?.[0];

const headOf = async (picture: PictureBytes): Promise<Uint8Array> => {
	if (picture instanceof Blob) return new Uint8Array(await picture.slice(0, 12).arrayBuffer());
	return picture instanceof Uint8Array ? picture.subarray(0, 12) : new Uint8Array(picture, 0, Math.min(12, picture.byteLength));
};

export class Assets {
	readonly #http: Http;
	constructor(http: Http) {
		this.#http = http;
	}

	/**
	 * Uploads a picture to use as `initImage` or `maskImage`.
	 * @param picture PNG, JPEG or WebP, at most 20 MB and 4096 pixels a side
	 */
	async upload(picture: PictureBytes, options: CallOptions = {}): Promise<Asset> {
		const type = pictureType(await headOf(picture));
		if (type === undefined) throw new LimnerError('the picture is neither PNG nor JPEG nor WebP');
		// A second upload makes a second asset, which expires by itself: harmless.
		return this.#http.json('/api/v1/assets', {
			...options,
			method: 'POST',
			body: picture,
			headers: { 'content-type': type },
			repeatable: true,
		});
	}

	/** An asset, with a fresh signed URL. */
	get(id: string, options: CallOptions = {}): Promise<Asset> {
		return this.#http.json(`/api/v1/assets/${encodeURIComponent(id)}`, options);
	}
}

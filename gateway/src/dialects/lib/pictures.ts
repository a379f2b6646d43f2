/**
 * Pictures in and out of dialects: inline bytes as assets, results as base64.
 * @module
 */
import { BODY_LIMITS, LimnerError, type ImageRecord } from '@limner/shared';
import type { AppContext } from '../../lib/context.ts';
import { storePicture } from '../../routes/assets/upload.ts';
import { storageOf } from '../../storage/index.ts';
import type { AssetRow } from '../../rpc.ts';

const refuse = (field: string, detail: string): LimnerError =>
	new LimnerError('validation_failed', { detail: `${field}: ${detail}`, errors: [{ pointer: `/${field}`, detail }] });

/**
 * Bytes of a picture given as base64 or as a `data:` URL.
 * @param field name of the field, for the error
 * @throws {LimnerError} `validation_failed`, `payload_too_large`
 */
export const decodeInline = (text: string, field: string): Uint8Array<ArrayBuffer> => {
	const match = /^data:[^,]{0,200};base64,/i.exec(text);
	if (match === null && /^[a-z][a-z0-9+.-]*:/i.test(text)) {
		throw refuse(field, 'must be base64 or a data: URL; the gateway fetches no pictures from other addresses');
	}
	const base64 = (match === null ? text : text.slice(match[0].length)).replaceAll(/\s/g, '');
	if (base64.length > Math.ceil(BODY_LIMITS.assetBytes / 3) * 4) {
		throw new LimnerError('payload_too_large', { detail: `${field} may have at most ${BODY_LIMITS.assetBytes / 1024 / 1024} MB` });
	}
	if (base64 === '' || !/^[\w+/-]*={0,2}$/.test(base64)) throw refuse(field, 'is not base64');
	return Uint8Array.from(Buffer.from(base64, 'base64'));
};

/** Stores a picture that came inside a request, as an asset that a job can name. */
export const assetOf = (c: AppContext, bytes: Uint8Array<ArrayBuffer>): Promise<AssetRow> => storePicture(c, bytes, Date.now());

/**
 * Bytes of a result.
 * @throws {LimnerError} `gone` when it was removed in between
 */
export const bytesOf = async (c: AppContext, record: Pick<ImageRecord, 'key'>): Promise<Uint8Array> => {
	const object = await storageOf(c.env).get(record.key);
	if (object === null) throw new LimnerError('gone', { detail: 'the picture has expired or was removed' });
	return new Uint8Array(await new Response(object.body).arrayBuffer());
};

export const base64Of = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');

/** Results as base64, in order. */
export const base64All = (c: AppContext, records: readonly Pick<ImageRecord, 'key'>[]): Promise<string[]> =>
	Promise.all(records.map(async (record) => base64Of(await bytesOf(c, record))));

/**
 * Takes an input picture from a request: raw bytes, or the field `file` of a form.
 * @module
 */
import { assetKey, BODY_LIMITS, LimnerError, newAssetId, TIMING } from '@limner/shared';
import type { AppContext } from '../../lib/context.ts';
import { idempotent, workspaceOf } from '../../lib/stubs.ts';
import { storageOf } from '../../storage/index.ts';
import { readBounded } from '../../storage/body.ts';
import { putVerified } from '../../storage/put.ts';
import { CONTENT_TYPES, kindsOf, type BodyRules, type Flaw, type PictureKind } from '../../storage/verify/index.ts';
import type { AssetRow } from '../../rpc.ts';

/** Room for the boundaries and headers of a form around its file, in bytes. */
const FORM_OVERHEAD_BYTES = 64 * 1024;
const KINDS = Object.keys(CONTENT_TYPES) as PictureKind[];
const RULES: BodyRules = { kinds: KINDS, maxPx: BODY_LIMITS.assetMaxPx, profile: 'input', maxBytes: BODY_LIMITS.assetBytes };

const tooLarge = (): LimnerError =>
	new LimnerError('payload_too_large', { detail: `an input picture may have at most ${BODY_LIMITS.assetBytes / 1024 / 1024} MB` });

interface Source {
	bytes: number;
	body: ReadableStream<Uint8Array> | null;
}

const declaredLength = (c: AppContext, max: number): number | undefined => {
	const text = c.req.header('content-length');
	if (text === undefined) return undefined;
	const bytes = Number(text);
	if (bytes > max) throw tooLarge();
	return bytes;
};

const bounded = async (c: AppContext, max: number): Promise<Uint8Array<ArrayBuffer>> => {
	const bytes = await readBounded(c.req.raw.body, max, 'drain');
	if (bytes === 'too_large') throw tooLarge();
	return bytes;
};

const rawSource = async (c: AppContext): Promise<Source> => {
	const bytes = declaredLength(c, BODY_LIMITS.assetBytes);
	if (bytes !== undefined) return { bytes, body: c.req.raw.body };
	// R2 must know the length of a stream, so that a chunked body is read first.
	const whole = await bounded(c, BODY_LIMITS.assetBytes);
	return { bytes: whole.length, body: new Blob([whole]).stream() };
};

const parseForm = async (c: AppContext, contentType: string): Promise<FormData> => {
	const max = BODY_LIMITS.assetBytes + FORM_OVERHEAD_BYTES;
	declaredLength(c, max);
	const whole = await bounded(c, max);
	try {
		return await new Response(whole, { headers: { 'content-type': contentType } }).formData();
	} catch (cause) {
		throw new LimnerError('bad_request', { detail: 'the multipart body could not be read', cause });
	}
};

const formSource = async (c: AppContext, contentType: string): Promise<Source> => {
	const form = await parseForm(c, contentType);
	const file = form.get('file');
	if (file === null || typeof file === 'string')
		throw new LimnerError('validation_failed', {
			detail: 'the form has no file in the field "file"',
			errors: [{ pointer: '/file', detail: 'is missing or is no file' }],
		});
	if (file.size > BODY_LIMITS.assetBytes) throw tooLarge();
	return { bytes: file.size, body: file.stream() };
};

const sourceOf = async (c: AppContext): Promise<Source> => {
	const contentType = c.req.header('content-type') ?? '';
	if (/^multipart\/form-data\s*;/i.test(contentType)) return formSource(c, contentType);
	if (kindsOf(contentType).length > 0 || /^application\/octet-stream\b/i.test(contentType)) return rawSource(c);
	throw new LimnerError('unsupported_media_type', {
		detail: 'send the bytes as image/png, image/jpeg or image/webp, or as the field "file" of multipart/form-data',
	});
};

/** A flaw of an input picture as the refusal that its sender reads. Pure. */
export const assetProblem = (flaw: Flaw): LimnerError => {
	if (flaw.code === 'too_large') return tooLarge();
	if (flaw.code === 'not_image' || flaw.code === 'kind') return new LimnerError('unsupported_media_type', { detail: flaw.detail });
	return new LimnerError('validation_failed', { detail: flaw.detail, errors: [{ pointer: '', detail: flaw.detail, code: flaw.code }] });
};

/**
 * Verifies and stores an input picture. Object first, row second: a row never names bytes that are not there.
 * @throws {LimnerError} what is wrong with the picture, in words; nothing is stored then
 */
export const storeAsset = async (c: AppContext, nowMs: number): Promise<AssetRow> => storeSource(c, await sourceOf(c), nowMs);

/**
 * Verifies and stores a picture that is in memory, such as one inside a JSON body.
 * @throws {LimnerError} as `storeAsset`
 */
export const storePicture = (c: AppContext, bytes: Uint8Array<ArrayBuffer>, nowMs: number): Promise<AssetRow> => {
	if (bytes.length > BODY_LIMITS.assetBytes) throw tooLarge();
	return storeSource(c, { bytes: bytes.length, body: new Blob([bytes]).stream() }, nowMs);
};

const storeSource = async (c: AppContext, { bytes, body }: Source, nowMs: number): Promise<AssetRow> => {
	const { ws } = c.get('principal');
	const left = await workspaceOf(c.env, ws).storageLeft();
	if (left !== null && bytes > left) {
		throw new LimnerError('quota_exceeded', {
			detail: `the workspace may store ${left} bytes more; delete pictures first`,
			retryAfterS: 60,
		});
	}
	const id = newAssetId(nowMs, crypto.getRandomValues(new Uint8Array(10)));
	const key = assetKey(ws, id);
	const put = await putVerified(storageOf(c.env), { key, bytes, rules: RULES }, body);
	if (put.kind === 'broken') throw new LimnerError('bad_request', { detail: 'the upload broke off', cause: put.cause });
	if (put.kind === 'refused') throw assetProblem(put.flaw);
	const { contentType, width, height, sha256 } = put.picture;
	const row: AssetRow = { id, sha256, bytes, contentType, width, height, createdAt: nowMs, expiresAt: nowMs + TIMING.assetTtlMs };
	try {
		await idempotent(
			() => workspaceOf(c.env, ws),
			(stub) => stub.createAsset(row),
		);
	} catch (error) {
		await storageOf(c.env).delete(key);
		throw error;
	}
	return row;
};

/**
 * Input pictures by what a model has at hand: the id of an asset, the id of a picture, an address of this gateway, or an
 * address on the Web.
 * @module
 */
import { ASSET_ID_PATTERN, BODY_LIMITS, LimnerError, MCP_LIMITS, parseImageId, urlProblem, type InputImage } from '@limner/shared';
import { verifyClaims } from '../../lib/sign.ts';
import { readBounded } from '../../storage/body.ts';
import { invalid, type ToolCall } from './call.ts';

export interface UploadedAsset {
	id: string;
	contentType: string;
	width: number;
	height: number;
	bytes: number;
	sha256: string;
	expiresAt: string;
}

/** Stores bytes as an asset of the caller. */
export const storeBytes = (call: ToolCall, bytes: Uint8Array<ArrayBuffer>): Promise<UploadedAsset> =>
	call.api.json<UploadedAsset>('/api/v1/assets', { body: bytes, headers: { 'content-type': 'application/octet-stream' } });

const OBJECT_PATH = /\/api\/v1\/objects\/([\w.-]+)$/;
const RESULT_KEY = /^w\/([^/]+)\/(job_\w+)\/(\d+)\//;
const ASSET_KEY = /^a\/([^/]+)\/(asset_\w+)$/;

/** The picture behind one of our own signed addresses, when it is the caller's. Pure. */
export const inputOfKey = (key: string, ws: string): InputImage | undefined => {
	const [, owner, job = '', index = ''] = RESULT_KEY.exec(key) ?? [];
	if (owner === ws) return { job, index: Number(index) };
	const [, holder, asset = ''] = ASSET_KEY.exec(key) ?? [];
	return holder === ws ? { asset } : undefined;
};

const ownObject = (call: ToolCall, url: string): InputImage | undefined => {
	const ticket = OBJECT_PATH.exec(new URL(url).pathname)?.[1];
	if (ticket === undefined) return undefined;
	const verified = verifyClaims(call.c.env.LIMNER_SECRET, 'object', ticket, Date.now());
	return verified.ok ? inputOfKey(verified.claims.key, call.c.get('principal').ws) : undefined;
};

type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/**
 * Gets an address and what it leads on to.
 * @throws {LimnerError} for an address that may not be called
 */
export const follow = async (url: string, signal: AbortSignal, get: Fetch): Promise<Response> => {
	let next = url;
	for (let hop = 0; hop <= MCP_LIMITS.fetchRedirects; hop++) {
		// Each hop anew: a harmless address may lead to one that is not.
		const problem = urlProblem(next, false);
		if (problem !== undefined) throw invalid(`the address is refused: ${problem}`);
		const response = await get(next, { redirect: 'manual', signal, headers: { accept: 'image/png, image/jpeg, image/webp' } });
		const location = response.headers.get('location');
		if (response.status < 300 || response.status >= 400 || location === null) return response;
		await response.body?.cancel();
		next = new URL(location, next).href;
	}
	throw invalid(`the address leads on more than ${MCP_LIMITS.fetchRedirects} times`);
};

/**
 * Bytes at an address on the Web.
 * @throws {LimnerError} when it may not be called, does not answer, or answers too much
 */
export const fetchPicture = async (call: ToolCall, url: string): Promise<Uint8Array<ArrayBuffer>> => {
	const signal = AbortSignal.any([call.signal, AbortSignal.timeout(MCP_LIMITS.fetchMs)]);
	let response: Response;
	try {
		response = await follow(url, signal, fetch);
	} catch (error) {
		if (error instanceof LimnerError) throw error;
		throw invalid('the address does not answer; upload the picture instead');
	}
	if (!response.ok) throw invalid(`the address answers ${response.status}; upload the picture instead`);
	const bytes = await readBounded(response.body, BODY_LIMITS.assetBytes);
	if (bytes === 'too_large') throw invalid(`the picture at the address has more than ${BODY_LIMITS.assetBytes / 1024 / 1024} MB`);
	return bytes;
};

/**
 * A reference as the input of a job.
 * @throws {LimnerError} when it is none, or the picture cannot be fetched
 */
export const resolveInput = async (call: ToolCall, reference: string): Promise<InputImage> => {
	if (ASSET_ID_PATTERN.test(reference)) return { asset: reference };
	const image = parseImageId(reference.replace(/^limner:\/\/images\//, ''));
	if (image !== undefined) return { job: image.jobId, index: image.index };
	if (!/^https?:\/\//i.test(reference) || !URL.canParse(reference)) {
		throw invalid(`"${reference.slice(0, 80)}" is no picture: give asset_…, img_… or an https address`);
	}
	const own = ownObject(call, reference);
	if (own !== undefined) return own;
	return { asset: (await storeBytes(call, await fetchPicture(call, reference))).id };
};

/**
 * Identifiers. They are made from a clock reading and random bytes that the caller passes in, so that pure code can
 * make them and tests can repeat them.
 * @module
 */

/** Crockford's alphabet, lower case: no i, l, o, u; sorts like the numbers it encodes. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const UUID_CHARS = 26;
const SHARD_CHARS = 2;
export const MAX_SHARDS = 32 ** SHARD_CHARS;

/** Encodes bytes as big-endian base32 with the fewest characters that hold them. */
export const base32 = (bytes: Uint8Array): string => {
	let value = 0n;
	for (const byte of bytes) value = (value << 8n) | BigInt(byte);
	const chars = Math.ceil((bytes.length * 8) / 5);
	let out = '';
	for (let i = chars - 1; i >= 0; i--) out += ALPHABET[Number((value >> BigInt(i * 5)) & 31n)];
	return out;
};

/**
 * UUIDv7 (RFC 9562 §5.7) as 26 base32 characters.
 * @param nowMs milliseconds since the epoch
 * @param random at least 10 random bytes
 */
export const uuidv7Base32 = (nowMs: number, random: Uint8Array): string => {
	if (random.length < 10) throw new RangeError('uuidv7Base32 needs 10 random bytes');
	const bytes = new Uint8Array(16);
	let time = Math.floor(nowMs);
	for (let i = 5; i >= 0; i--) {
		bytes[i] = time % 256;
		time = Math.floor(time / 256);
	}
	bytes.set(random.subarray(0, 10), 6);
	bytes[6] = ((bytes[6] as number) & 0x0f) | 0x70;
	bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
	return base32(bytes);
};

/** Two-character suffix that routes a job to its shard. */
export const shardSuffix = (shard: number): string => {
	if (!Number.isInteger(shard) || shard < 0 || shard >= MAX_SHARDS) throw new RangeError(`shard ${shard} is out of range`);
	return `${ALPHABET[shard >> 5]}${ALPHABET[shard & 31]}`;
};

const BODY = `[${ALPHABET}]{${UUID_CHARS + SHARD_CHARS}}`;
export const JOB_ID_PATTERN = new RegExp(`^job_${BODY}$`);
export const IMAGE_ID_PATTERN = new RegExp(`^img_(${BODY})_(0|[1-9]\\d?)$`);
export const NODE_ID_PATTERN = new RegExp(`^node_[${ALPHABET}]{${UUID_CHARS}}$`);
export const ASSET_ID_PATTERN = new RegExp(`^asset_[${ALPHABET}]{${UUID_CHARS}}$`);
/** Workspace ids: short, lower case, no underscore, because they stand inside API keys. */
export const WORKSPACE_ID_PATTERN = /^[a-z0-9][a-z0-9-]{0,38}$/;

/** A job id: sorts by time, routes by its last two characters. */
export const newJobId = (nowMs: number, random: Uint8Array, shard: number): string =>
	`job_${uuidv7Base32(nowMs, random)}${shardSuffix(shard)}`;
export const newNodeId = (nowMs: number, random: Uint8Array): string => `node_${uuidv7Base32(nowMs, random)}`;
export const newAssetId = (nowMs: number, random: Uint8Array): string => `asset_${uuidv7Base32(nowMs, random)}`;

export const isJobId = (id: string): boolean => JOB_ID_PATTERN.test(id);

/** Shard number in a job id, or `undefined` when the text is no job id. */
export const shardOfJob = (jobId: string): number | undefined => {
	if (!isJobId(jobId)) return undefined;
	const high = ALPHABET.indexOf(jobId.at(-2) as string);
	const low = ALPHABET.indexOf(jobId.at(-1) as string);
	return high * 32 + low;
};

/** Smallest job id that can have been made at or after a time: a bound for key-range scans. */
export const jobIdLowerBound = (nowMs: number): string => `job_${uuidv7Base32(nowMs, new Uint8Array(10)).slice(0, 9)}`;

export const imageId = (jobId: string, index: number): string => `img_${jobId.slice(4)}_${index}`;

/** Job and index of an image id, or `undefined` when the text is no image id. */
export const parseImageId = (id: string): { jobId: string; index: number } | undefined => {
	const match = IMAGE_ID_PATTERN.exec(id);
	if (!match) return undefined;
	return { jobId: `job_${match[1]}`, index: Number(match[2]) };
};

/** Name of the `Pool` Durable Object of a shard: `pool:<region>:<nn>`. */
export const poolName = (region: string, shard: number): string => `pool:${region}:${String(shard).padStart(2, '0')}`;

/**
 * R2 key of an accepted picture. The epoch fences: two attempts never share a key; the hash makes the key name the
 * bytes, so an existing key means the same bytes.
 */
export const resultKey = (ws: string, jobId: string, index: number, epoch: number, sha256Hex: string, ext: string): string =>
	`w/${ws}/${jobId}/${index}/${epoch}-${sha256Hex.slice(0, 32)}.${ext}`;

export const assetKey = (ws: string, assetId: string): string => `a/${ws}/${assetId}`;

/** Parts of an API key `lk_<workspace>_<keyId>_<secret>`. */
export interface ApiKeyParts {
	ws: string;
	keyId: string;
}

/** Reads the workspace and key id out of an API key without checking its secret. */
export const parseApiKey = (key: string): ApiKeyParts | undefined => {
	const match = /^lk_([a-z0-9][a-z0-9-]{0,38})_([a-z0-9]{4,32})_([A-Za-z0-9-]{32,128})$/.exec(key);
	if (!match) return undefined;
	return { ws: match[1] as string, keyId: match[2] as string };
};

/**
 * A new API key.
 * @param random at least 37 random bytes: 5 for the key id, 32 for the secret
 */
export const newApiKey = (ws: string, random: Uint8Array): string => {
	if (random.length < 37) throw new RangeError('newApiKey needs 37 random bytes');
	return `lk_${ws}_${base32(random.subarray(0, 5))}_${base32(random.subarray(5, 37))}`;
};

/** Reservations of capacity. */
export const ALLOCATION_ID_PATTERN = new RegExp(`^alloc_[${ALPHABET}]{16}$`);

/** Account ids: the SHA-256 of the lower-cased e-mail address in base32, so that an id names its Durable Object. */
export const ACCOUNT_ID_PATTERN = new RegExp(`^acct_[${ALPHABET}]{52}$`);

/** Parts of a one-time secret `<kind>_<owner>_<id>_<secret>`: invitations, password resets, refresh tokens, authorization codes. */
export interface OneTimeParts {
	owner: string;
	id: string;
}

export type OneTimeKind = 'lc' | 'li' | 'lp' | 'lr';

const ONE_TIME = new RegExp(`^(lc|li|lp|lr)_([a-z0-9-]{1,64})_([${ALPHABET}]{8})_[${ALPHABET}]{52}$`);

/**
 * A one-time secret.
 * @param kind lc = authorization code, li = invitation of a workspace, lp = password reset, lr = refresh token of an account
 * @param owner workspace id, or the base32 part of an account id
 * @param random at least 37 random bytes
 */
export const newOneTime = (kind: OneTimeKind, owner: string, random: Uint8Array): { text: string; id: string } => {
	if (random.length < 37) throw new RangeError('newOneTime needs 37 random bytes');
	const id = base32(random.subarray(0, 5));
	return { text: `${kind}_${owner}_${id}_${base32(random.subarray(5, 37))}`, id };
};

/** Reads a one-time secret without checking it. */
export const parseOneTime = (kind: OneTimeKind, text: string): OneTimeParts | undefined => {
	const match = ONE_TIME.exec(text);
	return match !== null && match[1] === kind ? { owner: match[2] as string, id: match[3] as string } : undefined;
};

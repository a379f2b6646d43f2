/**
 * Idempotency-Key on routes whose effects the caller waits for: the first request works, one that comes meanwhile gets
 * 409 with Retry-After, and later ones get the first answer again for 24 h. Only successes are kept, so that what was
 * refused can be corrected and sent again. Answers may hold a secret that is shown once: they are stored encrypted, with
 * a key that is not stored. Submits of jobs have a scheme of their own, in which all duplicates get the same 202.
 * @module
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { canonicalJson, IDEMPOTENCY, LimnerError, REQUEST_LIMITS, toError } from '@limner/shared';
import { createMiddleware } from 'hono/factory';
import { sha256Hex } from './canonical.ts';
import type { AppContext, AppEnv } from './context.ts';
import { validationError } from './problem.ts';
import { workspaceOf } from './stubs.ts';

const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);
const IV_BYTES = 12;
const TAG_BYTES = 16;

interface Reply {
	status: number;
	headers: [string, string][];
	body: string;
}

const KEPT_HEADERS = ['content-type', 'location'];

const keyOf = (secret: string, ws: string): Buffer => createHmac('sha256', secret).update(`limner/v1/reply/${ws}`).digest();

/** AES-256-GCM, base64. */
export const seal = (secret: string, ws: string, text: string): string => {
	const iv = randomBytes(IV_BYTES);
	const cipher = createCipheriv('aes-256-gcm', keyOf(secret, ws), iv);
	const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
	return Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64');
};

/** @throws when the text was not sealed with this secret for this workspace */
export const unseal = (secret: string, ws: string, text: string): string => {
	const bytes = Buffer.from(text, 'base64');
	const decipher = createDecipheriv('aes-256-gcm', keyOf(secret, ws), bytes.subarray(0, IV_BYTES));
	decipher.setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
	return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]).toString('utf8');
};

const readKey = (c: AppContext): string | undefined => {
	const key = c.req.header('idempotency-key');
	if (key === undefined || (key.length <= REQUEST_LIMITS.idempotencyKeyChars && /^[\x20-\x7e]+$/.test(key))) return key;
	const detail = `1 to ${REQUEST_LIMITS.idempotencyKeyChars} printable ASCII characters`;
	throw validationError([{ pointer: '#/header/idempotency-key', detail, code: 'invalid_format' }]);
};

const isJson = (type: string | undefined): boolean => /^application\/(?:[\w.-]+\+)?json\b/i.test(type ?? '');

/** The canonical text of what is asked for. Bytes are not read twice: an upload is told by its declared type, size and digest. */
const requestHash = async (c: AppContext): Promise<string> => {
	const url = new URL(c.req.url);
	const type = c.req.header('content-type');
	const body = isJson(type)
		? canonicalJson(JSON.parse(await c.req.text()))
		: [type, c.req.header('content-length'), c.req.header('content-digest')].join(' ');
	return sha256Hex(`${c.req.method} ${url.pathname}${url.search}\n${body}`);
};

const replyOf = async (response: Response): Promise<Reply | undefined> => {
	const type = response.headers.get('content-type') ?? '';
	if (!response.ok || (response.body !== null && !isJson(type))) return undefined;
	const body = await response.clone().text();
	const headers = KEPT_HEADERS.flatMap((name): [string, string][] => {
		const value = response.headers.get(name);
		return value === null ? [] : [[name, value]];
	});
	return body.length > IDEMPOTENCY.replyBytes ? undefined : { status: response.status, headers, body };
};

const answerAgain = ({ status, headers, body }: Reply): Response =>
	new Response(body === '' ? null : body, { status, headers: [...headers, ['Idempotency-Replayed', 'true']] });

const inFlight = (retryAfterS: number): LimnerError =>
	new LimnerError('in_flight', { detail: 'the first request with this Idempotency-Key is still being worked on', retryAfterS });

/** Runs behind `requireScope` and the reader of the body. */
export const replayed = createMiddleware<AppEnv>(async (c, next) => {
	const key = SAFE.has(c.req.method) ? undefined : readKey(c);
	const { ws, keyId } = c.get('principal');
	// An account that is in no workspace has nowhere to keep answers.
	if (key === undefined || ws === '') return next();
	const { LIMNER_SECRET: secret } = c.env;
	// Of one caller: another one must not be shown this one's answers.
	const name = sha256Hex(`${keyId}\n${key}`);
	const begun = await workspaceOf(c.env, ws).beginRequest(name, await requestHash(c));
	if (!begun.ok) throw toError(begun);
	if (begun.kind === 'in_flight') throw inFlight(begun.retryAfterS);
	if (begun.kind === 'done') return answerAgain(JSON.parse(unseal(secret, ws, begun.reply)) as Reply);
	let reply: Reply | undefined;
	try {
		await next();
		reply = await replyOf(c.res);
	} finally {
		await workspaceOf(c.env, ws).endRequest(name, reply === undefined ? null : seal(secret, ws, JSON.stringify(reply)));
	}
	return undefined;
});

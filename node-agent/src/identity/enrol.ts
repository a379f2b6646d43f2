/**
 * Enrolment: a join token becomes a certificate, and a certificate near its end becomes a new one.
 * @module
 */
import { rotateMessage } from '@limner/shared';
import { z } from 'zod';
import { call, GatewayError } from '../client/http.ts';
import { UserError } from '../lib/user-error.ts';
import { newKeyPair, signText } from './keys.ts';
import { certificateExpiry, isEnrolled, loadIdentity, saveIdentity, type EnrolledIdentity, type Identity } from './store.ts';

const RENEW_BEFORE_MS = 7 * 24 * 60 * 60 * 1000;

const ANSWER_MS = 30_000;

const Answer = z.looseObject({ nodeId: z.string(), certificate: z.string(), shard: z.int().default(0) });

export interface EnrolOptions {
	gateway: string;
	stateDir: string;
	name: string;
	/** Join token; needed the first time, and when the gateway no longer takes the certificate. */
	token?: string | undefined;
	now: number;
}

export type EnrolPlan = 'keep' | 'renew' | 'enrol' | 'needs-token';

/** What has to be done before connecting. */
export const planEnrolment = (identity: Identity, options: { gateway: string; hasToken: boolean; now: number }): EnrolPlan => {
	const { gateway, hasToken, now } = options;
	if (!isEnrolled(identity)) return hasToken ? 'enrol' : 'needs-token';
	const expiry = certificateExpiry(identity.certificate);
	if (expiry !== undefined && expiry <= now) return hasToken ? 'enrol' : 'needs-token';
	// A token for another gateway means that the node moves there; without one the gateway may just have a new address.
	if (identity.gateway !== gateway && hasToken) return 'enrol';
	return expiry !== undefined && expiry - now < RENEW_BEFORE_MS ? 'renew' : 'keep';
};

const store = async (options: EnrolOptions, identity: Identity, response: Response): Promise<EnrolledIdentity> => {
	const answer = Answer.safeParse(await response.json());
	if (!answer.success)
		throw new UserError("The gateway's answer to the enrolment is not readable; update limner to the gateway's version.");
	const { nodeId, certificate, shard } = answer.data;
	const enrolled = { ...identity, gateway: options.gateway, nodeId, certificate, shard, name: options.name };
	await saveIdentity(options.stateDir, enrolled);
	return enrolled;
};

const post = async (options: EnrolOptions, auth: string, path: string, body: object): Promise<Response> =>
	call(options.gateway, auth, path, {
		method: 'POST',
		headers: { 'content-type': 'application/json' },
		body: JSON.stringify(body),
		// A half-open connection would keep a node from coming back for minutes.
		signal: AbortSignal.timeout(ANSWER_MS),
	});

const TOKEN_HINT = 'make a new join token with POST /api/v1/join-tokens and pass it with --token';

/** Enrols with the join token. The same key pair keeps its node id at the same gateway. */
export const enrol = async (options: EnrolOptions, identity: Identity): Promise<EnrolledIdentity> => {
	if (options.token === undefined) throw new UserError(`This node has no valid certificate for ${options.gateway}; ${TOKEN_HINT}.`);
	try {
		const body = { token: options.token, publicKey: identity.keys.publicKey, name: options.name };
		return await store(options, identity, await post(options, '', '/api/v1/nodes', body));
	} catch (error) {
		if (error instanceof GatewayError && (error.status === 401 || error.status === 403 || error.status === 410)) {
			throw new UserError(`The gateway refused the join token (${error.message.replace(/\.$/, '')}); ${TOKEN_HINT}.`, { cause: error });
		}
		throw error;
	}
};

/** Exchanges a valid certificate for a fresh one. */
export const renew = async (options: EnrolOptions, identity: EnrolledIdentity): Promise<EnrolledIdentity> =>
	store(options, identity, await post(options, identity.certificate, '/api/v1/nodes/renew', {}));

/**
 * Gives the node a new key pair. The new keys are on disk before the gateway hears of them: when the answer is lost, the
 * next call asks for the same keys again, and the gateway answers as it did.
 * @throws {UserError} when the node is not enrolled, or the gateway does not answer
 * @throws {GatewayError} when the gateway refuses, as for a banned node
 */
export const rotateKey = async (options: Omit<EnrolOptions, 'token' | 'name'>): Promise<EnrolledIdentity> => {
	const identity = await loadIdentity(options.stateDir);
	if (!isEnrolled(identity)) throw new UserError(`The node in ${options.stateDir} is not enrolled; there is no key to change.`);
	const pending = { ...identity, nextKeys: identity.nextKeys ?? newKeyPair() };
	await saveIdentity(options.stateDir, pending);
	const { publicKey } = pending.nextKeys;
	const signature = signText(identity.keys, rotateMessage(identity.nodeId, publicKey, options.now));
	const body = { newPublicKey: publicKey, at: options.now, signature };
	const full = { ...options, name: identity.name ?? '' };
	const { nextKeys, ...rest } = pending;
	return store(full, { ...rest, keys: nextKeys }, await post(full, identity.certificate, '/api/v1/nodes/rotate-key', body));
};

/**
 * Answers an identity that the gateway should accept.
 * @throws {UserError} when a token is needed, is refused, or the gateway does not answer
 */
export const ensureEnrolled = async (options: EnrolOptions): Promise<EnrolledIdentity> => {
	const identity = await loadIdentity(options.stateDir);
	const plan = planEnrolment(identity, { gateway: options.gateway, hasToken: options.token !== undefined, now: options.now });
	if (plan === 'enrol' || plan === 'needs-token' || !isEnrolled(identity)) return enrol(options, identity);
	if (plan === 'keep') return identity;
	try {
		return await renew(options, identity);
	} catch (error) {
		// The old certificate is still good; the next start tries again.
		if (error instanceof UserError) return identity;
		throw error;
	}
};

/**
 * After the gateway refused the certificate: renewing is tried first, then the token.
 * @throws {UserError} with what to do when neither works
 */
export const recoverCertificate = async (options: EnrolOptions): Promise<EnrolledIdentity> => {
	const identity = await loadIdentity(options.stateDir);
	if (isEnrolled(identity)) {
		try {
			return await renew(options, identity);
		} catch (error) {
			if (!(error instanceof GatewayError && error.status < 500)) throw error;
		}
	}
	return enrol(options, identity);
};

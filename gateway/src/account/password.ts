/**
 * Passwords: Argon2id in the Worker, never in a Durable Object, whose memory all callers share. The module of
 * WebAssembly exists only inside workerd, so it is loaded at the first use.
 * @module
 */
import { ARGON2 } from '@limner/shared';
import type Argon2 from '@phi-ag/argon2';

let loaded: Promise<Argon2> | undefined;

const load = async (): Promise<Argon2> => {
	const { instantiate } = await import('./argon2.ts');
	return instantiate();
};

const argon2 = async (): Promise<Argon2> => {
	loaded ??= load();
	try {
		return await loaded;
	} catch (error) {
		loaded = undefined;
		throw error;
	}
};

/** The same text typed on two keyboards: NFKC, as RFC 8265 asks for. */
const normalise = (password: string): string => password.normalize('NFKC');

/** PHC string of a password, `$argon2id$v=19$m=19456,t=2,p=1$…`. */
export const hashPassword = async (password: string): Promise<string> => {
	const { Argon2Type } = await import('@phi-ag/argon2');
	const { encoded } = (await argon2()).hash(normalise(password), {
		salt: crypto.getRandomValues(new Uint8Array(ARGON2.saltBytes)),
		hashLength: ARGON2.hashBytes,
		timeCost: ARGON2.iterations,
		memoryCost: ARGON2.memoryKib,
		parallelism: ARGON2.parallelism,
		type: Argon2Type.Argon2id,
	});
	return encoded;
};

const PREFIX = `$argon2id$v=19$m=${ARGON2.memoryKib},t=${ARGON2.iterations},p=${ARGON2.parallelism}$`;

/** Whether a stored hash has other parameters than today's, so that the next sign-in makes it anew. */
export const isOutdated = (phc: string): boolean => !phc.startsWith(PREFIX);

/** A hash that no password matches, so that a sign-in to an account that does not exist takes as long as any. */
const NOBODY = `${PREFIX}bGltbmVyLW5vYm9keS1zYWx0$NfF0hcHZl9YjQCAVEj5FFMFWtA6yV6Q4OAbcEK5Yt7k`;

/**
 * Checks a password.
 * @param phc `null` when there is no such account: the work is done all the same
 */
export const verifyPassword = async (phc: string | null, password: string): Promise<boolean> => {
	const answer = (await argon2()).tryVerify(phc ?? NOBODY, normalise(password));
	return phc !== null && answer.success;
};

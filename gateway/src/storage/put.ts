/**
 * Streams a body through the verifier into the store. The last chunk is held back until the verifier agrees: a body that is
 * refused never reaches its announced length, so that nothing of it is stored.
 * @module
 */
import type { Storage } from './port.ts';
import { createVerifier, type BodyRules, type Flaw, type Picture } from './verify/index.ts';

export interface PutTarget {
	key: string;
	/** Announced length in bytes: the store must know it before the stream starts. */
	bytes: number;
	rules: BodyRules;
	/** Checked once more by the store; lower-case hex. */
	sha256?: string;
	contentType?: string;
}

export type PutOutcome =
	/** `created` is false when the key was there before: keys name their bytes, so it is the same picture. */
	| { kind: 'stored'; picture: Picture; created: boolean }
	| { kind: 'refused'; flaw: Flaw }
	/** The sender went away in the middle. */
	| { kind: 'broken'; cause: unknown };

type PutResult = { created: boolean } | { error: unknown };

/** The store's end of the stream. It may answer before it has read everything (the key exists), so no write waits for ever. */
const openObject = (storage: Storage, { key, bytes, sha256, contentType }: PutTarget) => {
	const fixed = new FixedLengthStream(bytes);
	const writer = fixed.writable.getWriter();
	const options = { createOnly: true, ...(sha256 === undefined ? {} : { sha256 }), ...(contentType === undefined ? {} : { contentType }) };
	const result: Promise<PutResult> = storage.put(key, { stream: fixed.readable, length: bytes }, options).then(
		(created) => ({ created }),
		(error: unknown) => ({ error }),
	);
	// A write fails when the store has answered early; then `result` says why.
	const orAnswer = async (work: Promise<void>): Promise<void> => {
		await Promise.race([work.catch(() => undefined), result]);
	};
	return {
		write: (chunk: Uint8Array) => orAnswer(writer.write(chunk)),
		/** Answers whether the object is new. Throws what the store throws. */
		finish: async (): Promise<boolean> => {
			await orAnswer(writer.close());
			const answer = await result;
			if ('error' in answer) throw answer.error;
			return answer.created;
		},
		/** Resolves when the store has let go of the stream, so that nothing can appear later. */
		abort: async (): Promise<void> => {
			await orAnswer(writer.abort(new Error('the body was refused')));
			await result;
		},
	};
};

/**
 * Stores a body that the verifier accepts, create-only.
 * @throws {StorageError} nothing is known then about the object, and the same PUT may be repeated
 */
export const putVerified = async (storage: Storage, target: PutTarget, body: ReadableStream<Uint8Array> | null): Promise<PutOutcome> => {
	const verifier = createVerifier({ ...target.rules, bytes: target.bytes });
	// Opened by the first write: the store never hears of a body that is refused in its only chunk, nor of an empty one,
	// which it would store at once.
	let object: ReturnType<typeof openObject> | undefined;
	const write = async (chunk: Uint8Array): Promise<void> => {
		object ??= openObject(storage, target);
		await object.write(chunk);
	};
	let held: Uint8Array | undefined;
	let flaw: Flaw | undefined;
	try {
		for await (const chunk of body ?? []) {
			// After a flaw the rest is read and dropped: many clients see no answer while they still send.
			if (flaw) continue;
			flaw = await verifier.push(chunk);
			if (flaw) continue;
			if (held) await write(held);
			held = chunk;
		}
	} catch (cause) {
		await Promise.all([verifier.stop(), object?.abort()]);
		return { kind: 'broken', cause };
	}
	const verdict = await verifier.end();
	if (!verdict.ok) {
		await object?.abort();
		return { kind: 'refused', flaw: verdict.flaw };
	}
	if (held) await write(held);
	const created = (await object?.finish()) === true;
	return { kind: 'stored', picture: verdict.picture, created };
};

/**
 * Reads an object that somebody else has stored through the verifier.
 * @throws {StorageError} when the store does not answer; `missing` when there is no such object
 */
export const verifyStored = async (
	storage: Pick<Storage, 'get'>,
	{ key, bytes, rules }: Pick<PutTarget, 'key' | 'bytes' | 'rules'>,
): Promise<PutOutcome | 'missing'> => {
	const object = await storage.get(key);
	if (object === null) return 'missing';
	const verifier = createVerifier({ ...rules, bytes });
	try {
		for await (const chunk of object.body) {
			const flaw = await verifier.push(chunk);
			// Leaving the loop cancels the body: an object that is far too long is not read to its end.
			if (flaw !== undefined) {
				await verifier.stop();
				return { kind: 'refused', flaw };
			}
		}
	} catch (cause) {
		await verifier.stop();
		return { kind: 'broken', cause };
	}
	const verdict = await verifier.end();
	return verdict.ok ? { kind: 'stored', picture: verdict.picture, created: false } : { kind: 'refused', flaw: verdict.flaw };
};

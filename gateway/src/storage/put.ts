/**
 * Streams a body through the verifier into R2. The last chunk is held back until the verifier agrees: a body that is
 * refused never reaches its announced length, so R2 stores nothing of it.
 * @module
 */
import { createVerifier, type BodyRules, type Flaw, type Picture } from './verify/index.ts';

export interface PutTarget {
	key: string;
	/** Announced length in bytes: R2 must know it before the stream starts. */
	bytes: number;
	rules: BodyRules;
	/** Checked once more by R2 and kept with the object; lower-case hex. */
	sha256?: string;
	contentType?: string;
}

export type PutOutcome =
	/** `created` is false when the key was there before: keys name their bytes, so it is the same picture. */
	| { kind: 'stored'; picture: Picture; created: boolean }
	| { kind: 'refused'; flaw: Flaw }
	/** The sender went away in the middle. */
	| { kind: 'broken'; cause: unknown };

type PutResult = { object: R2Object | null } | { error: unknown };

const CREATE_ONLY = { etagDoesNotMatch: '*' } as const;

/** The R2 end of the stream. R2 may answer before it has read everything (the key exists), so no write waits for ever. */
const openObject = (bucket: R2Bucket, { key, bytes, sha256, contentType }: PutTarget) => {
	const fixed = new FixedLengthStream(bytes);
	const writer = fixed.writable.getWriter();
	const result: Promise<PutResult> = bucket
		.put(key, fixed.readable, {
			onlyIf: CREATE_ONLY,
			...(sha256 === undefined ? {} : { sha256 }),
			...(contentType === undefined ? {} : { httpMetadata: { contentType } }),
		})
		.then(
			(object) => ({ object }),
			(error: unknown) => ({ error }),
		);
	// A write fails when R2 has answered early; then `result` says why.
	const orAnswer = async (work: Promise<void>): Promise<void> => {
		await Promise.race([work.catch(() => undefined), result]);
	};
	return {
		write: (chunk: Uint8Array) => orAnswer(writer.write(chunk)),
		/** @throws what R2 throws */
		finish: async (): Promise<R2Object | null> => {
			await orAnswer(writer.close());
			const answer = await result;
			if ('error' in answer) throw answer.error;
			return answer.object;
		},
		/** Resolves when R2 has let go of the stream, so that nothing can appear later. */
		abort: async (): Promise<void> => {
			await orAnswer(writer.abort(new Error('the body was refused')));
			await result;
		},
	};
};

/**
 * Stores a body that the verifier accepts, create-only.
 * @throws what R2 throws: nothing is known then about the object, and the same PUT may be repeated
 */
export const putVerified = async (bucket: R2Bucket, target: PutTarget, body: ReadableStream<Uint8Array> | null): Promise<PutOutcome> => {
	const verifier = createVerifier({ ...target.rules, bytes: target.bytes });
	// Opened by the first write: R2 never hears of a body that is refused in its only chunk, nor of an empty one, which
	// it would store at once.
	let object: ReturnType<typeof openObject> | undefined;
	const write = async (chunk: Uint8Array): Promise<void> => {
		object ??= openObject(bucket, target);
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
	const created = (await object?.finish()) != null;
	return { kind: 'stored', picture: verdict.picture, created };
};

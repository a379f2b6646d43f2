/**
 * The streaming verifier: takes the chunks of a body as they come, keeps none, and answers what the picture is or why
 * it is refused.
 * @module
 */
import { createHash } from 'node:crypto';
import { walkJpeg } from './jpeg.ts';
import { walkPng } from './png.ts';
import { createRowCounter, type RowCounter } from './rows.ts';
import { refuse, type Flaw, type PictureKind, type PictureRules, type Shape, type Step, type Walk } from './walk.ts';
import { walkWebp } from './webp.ts';

/** What the body as a whole has to be. */
export interface BodyRules extends PictureRules {
	/** Largest length in bytes. */
	maxBytes: number;
	/** The declared length in bytes. */
	bytes?: number;
	/** The declared SHA-256, lower-case hex. */
	sha256?: string;
}

export interface Picture extends Shape {
	contentType: string;
	bytes: number;
	/** lower-case hex */
	sha256: string;
}

export type Verdict = { ok: true; picture: Picture } | { ok: false; flaw: Flaw };

export interface Verifier {
	/** Takes the next chunk. Answers the flaw as soon as there is one; later chunks are then ignored. */
	push(chunk: Uint8Array): Promise<Flaw | undefined>;
	/** The body is complete. */
	end(): Promise<Verdict>;
	/** The body broke off: lets go of what the verifier holds. */
	stop(): Promise<void>;
}

export const CONTENT_TYPES: Readonly<Record<PictureKind, string>> = { png: 'image/png', jpeg: 'image/jpeg', webp: 'image/webp' };
export const EXTENSIONS: Readonly<Record<PictureKind, string>> = { png: 'png', jpeg: 'jpg', webp: 'webp' };
const KINDS: readonly PictureKind[] = ['png', 'jpeg', 'webp'];

/** Kinds that a content type stands for: one, all three for `image/*`, none for anything else. */
export const kindsOf = (contentType: string): PictureKind[] => {
	const type = contentType.split(';')[0]?.trim().toLowerCase() ?? '';
	if (type === 'image/*') return [...KINDS];
	const known = type === 'image/jpg' ? 'image/jpeg' : type;
	return KINDS.filter((kind) => CONTENT_TYPES[kind] === known);
};

const WALKERS: Readonly<Record<PictureKind, (rules: PictureRules) => Walk<Shape>>> = { png: walkPng, jpeg: walkJpeg, webp: walkWebp };
const FIRST_BYTES: Readonly<Record<number, PictureKind>> = { 0x89: 'png', 0xff: 'jpeg', 0x52: 'webp' };

/** Picks the walker by the first byte; the walker itself checks the whole signature. */
function* walkAny(rules: PictureRules): Walk<Shape> {
	const first = yield { exactly: 1 };
	if (first.length === 0) return yield* refuse('truncated', 'The body is empty.');
	const kind = FIRST_BYTES[first[0] ?? 0];
	if (kind === undefined) return yield* refuse('not_image', 'The body is no PNG, JPEG or WebP picture.');
	if (!rules.kinds.includes(kind))
		return yield* refuse('kind', `The body is ${CONTENT_TYPES[kind]}; expected ${rules.kinds.map((k) => CONTENT_TYPES[k]).join(' or ')}.`);
	yield { back: 1 };
	return yield* WALKERS[kind](rules);
}

/** Bytes that have come and are not read yet. Walkers ask for little, so that hardly more than one chunk is ever here. */
const createInbox = () => {
	let bytes: Uint8Array = new Uint8Array(0);
	let at = 0;
	let ended = false;
	return {
		add: (chunk: Uint8Array) => {
			const rest = bytes.subarray(at);
			at = 0;
			if (rest.length === 0) {
				bytes = chunk;
				return;
			}
			bytes = new Uint8Array(rest.length + chunk.length);
			bytes.set(rest);
			bytes.set(chunk, rest.length);
		},
		end: () => {
			ended = true;
		},
		back: (count: number) => {
			at -= count;
		},
		/** Answers `undefined` while too little has come. */
		take: (least: number, most: number): Uint8Array | undefined => {
			if (bytes.length - at < least && !ended) return undefined;
			const taken = bytes.subarray(at, Math.min(at + most, bytes.length));
			at += taken.length;
			return taken;
		},
	};
};

const NOTHING = new Uint8Array(0);
type Progress = { shape: Shape } | { flaw: Flaw } | 'hungry';

/** Runs a walker over an inbox, and the compressed rows that it finds through a counter. */
const createDriver = (rules: PictureRules) => {
	const inbox = createInbox();
	const walk = walkAny(rules);
	let counter: RowCounter | undefined;
	let pending = walk.next();

	/** Answers what the walker gets for its step: bytes, a flaw, or `undefined` when more has to come first. */
	const serve = async (step: Step): Promise<Uint8Array | Flaw | undefined> => {
		if ('exactly' in step) return inbox.take(step.exactly, step.exactly);
		if ('upTo' in step) return inbox.take(1, step.upTo);
		if ('refuse' in step) return step.refuse;
		if ('inflate' in step) return (await counter?.write(step.inflate)) ?? NOTHING;
		if ('rows' in step) counter = createRowCounter(step.rows);
		else inbox.back(step.back);
		return NOTHING;
	};
	const run = async (): Promise<Progress> => {
		while (!pending.done) {
			const answer = await serve(pending.value);
			if (answer === undefined) return 'hungry';
			if (!(answer instanceof Uint8Array)) return { flaw: answer };
			pending = walk.next(answer);
		}
		const flaw = await counter?.end();
		return flaw ? { flaw } : { shape: pending.value };
	};
	return { inbox, run, stop: async () => counter?.stop() };
};

/** Flaws of a body that still comes: more bytes than allowed or announced. */
const excessFlaw = (rules: BodyRules, bytes: number): Flaw | undefined => {
	if (bytes > rules.maxBytes) return { code: 'too_large', detail: `The body has more than ${rules.maxBytes} bytes, which is the limit.` };
	if (rules.bytes !== undefined && bytes > rules.bytes)
		return { code: 'length', detail: `The body has more than the ${rules.bytes} bytes that were announced.` };
	return undefined;
};

/** Flaws of the body as a whole, once it is complete. */
const bodyFlaw = (rules: BodyRules, bytes: number, sha256: string): Flaw | undefined => {
	if (rules.bytes !== undefined && rules.bytes !== bytes)
		return { code: 'length', detail: `The body has ${bytes} bytes, but ${rules.bytes} were announced.` };
	if (rules.sha256 !== undefined && rules.sha256 !== sha256)
		return { code: 'sha256', detail: `The SHA-256 of the body is ${sha256}, but ${rules.sha256} was announced.` };
	return undefined;
};

/** Starts a verification. Every verifier must come to `end` or `stop`. */
export const createVerifier = (rules: BodyRules): Verifier => {
	const driver = createDriver(rules);
	const hash = createHash('sha256');
	let bytes = 0;
	let flaw: Flaw | undefined;
	let shape: Shape | undefined;

	const settle = async (progress: Progress): Promise<Flaw | undefined> => {
		if (progress === 'hungry') return undefined;
		if ('shape' in progress) shape = progress.shape;
		else {
			flaw = progress.flaw;
			await driver.stop();
		}
		return flaw;
	};
	return {
		push: async (chunk) => {
			if (flaw || chunk.length === 0) return flaw;
			bytes += chunk.length;
			const excess = excessFlaw(rules, bytes);
			if (excess) return settle({ flaw: excess });
			hash.update(chunk);
			// An input may go on after its picture (see walkJpeg): that part is counted and hashed, nothing more.
			if (shape) return undefined;
			driver.inbox.add(chunk);
			return settle(await driver.run());
		},
		end: async () => {
			if (!flaw && !shape) {
				driver.inbox.end();
				await settle(await driver.run());
			}
			const sha256 = flaw ? '' : hash.digest('hex');
			flaw ??= bodyFlaw(rules, bytes, sha256);
			if (flaw) return { ok: false, flaw };
			if (!shape) throw new Error('the walker answered neither a shape nor a flaw at the end of the body');
			return { ok: true, picture: { ...shape, contentType: CONTENT_TYPES[shape.kind], bytes, sha256 } };
		},
		stop: () => driver.stop().then(() => undefined),
	};
};

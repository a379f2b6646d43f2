/**
 * Downloads one file of a hub into its cache: in pieces, several at a time, resumed after every cut, and only kept when
 * its hash is the one that the hub's list names. The list's sizes are plans; the hash decides.
 * @module
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { open, readFile, rename, rm, stat, writeFile, type FileHandle } from 'node:fs/promises';
import { PULL_LIMITS } from '@limner/shared';
import { fullJitter, sleep } from '../lib/backoff.ts';
import { errorCode, UserError } from '../lib/user-error.ts';
import { refusal, unreachable, type HubFile, type RepoSpec } from './hub.ts';
import type { HubAnswer, HubClient } from './http.ts';
import { isDone, isSound, parseContentRange, PartState, planPieces, received, resize, type Piece } from './pieces.ts';

/** Lets a bounded number of things happen at once. */
export class Gate {
	#free: number;
	readonly #waiting: (() => void)[] = [];
	constructor(size: number) {
		this.#free = size;
	}
	async run<T>(action: () => Promise<T>): Promise<T> {
		if (this.#free > 0) this.#free--;
		else await new Promise<void>((resolve) => this.#waiting.push(resolve));
		try {
			return await action();
		} finally {
			const next = this.#waiting.shift();
			if (next === undefined) this.#free++;
			else next();
		}
	}
}

export interface DownloadContext {
	client: HubClient;
	spec: RepoSpec;
	/** Bounds the connections of all files together. */
	gate: Gate;
	/** Ends all downloads that belong together; the first failure fires it. */
	abort: AbortController;
	/** Bytes that came, or (negative) that were given up. */
	onBytes: (bytes: number) => void;
	/** A file is larger (or smaller) than the list said, by this many bytes. @throws {UserError} when there is no room */
	onGrowth: (bytes: number) => void;
	/** Something a user may want to know. */
	onNote: (sentence: string) => void;
	pieceBytes: number;
	/** Waits between tries, shortened by tests. */
	retryFirstMs: number;
}

/** Hash of a file in the words of the hub's list. */
export const hashOf = async (path: string, kind: HubFile['kind']): Promise<string> => {
	const hash = createHash(kind === 'sha256' ? 'sha256' : 'sha1');
	// Git hashes a header with the length first.
	if (kind === 'git-sha1') hash.update(`blob ${(await stat(path)).size}\0`);
	for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
	return hash.digest('hex');
};

/** An unfinished file beside the place it will have. */
interface Part {
	file: HubFile;
	url: string;
	handle: FileHandle;
	state: PartState;
	stateFile: string;
	sizeChanges: number;
}

const MAX_SIZE_CHANGES = 8;

const changeSize = (part: Part, total: number, context: DownloadContext): void => {
	if (total === part.state.total) return;
	if (++part.sizeChanges > MAX_SIZE_CHANGES)
		throw new UserError(`The hub names another size of ${part.file.path} each time it is asked; try again later.`);
	context.onGrowth(total - part.state.total);
	const before = received(part.state.pieces);
	resize(part.state, total, context.pieceBytes);
	context.onBytes(received(part.state.pieces) - before);
};

/** Where in the file the body begins; nothing when the answer holds no usable bytes. */
const bodyStart = (part: Part, from: number, answer: HubAnswer, context: DownloadContext): number | undefined => {
	const range = parseContentRange(answer.headers['content-range']);
	if (answer.status === 206) {
		if (range.total !== undefined) changeSize(part, range.total, context);
		return range.start === undefined || range.start > from ? undefined : range.start;
	}
	if (answer.status === 416 && range.total !== undefined) changeSize(part, range.total, context);
	if (answer.status !== 200) return undefined;
	const length = answer.headers['content-length'];
	if (length !== undefined) changeSize(part, Number(length), context);
	return 0;
};

/** Writes what of the body belongs to the piece, and leaves when the piece is full. */
const writeBody = async (part: Part, piece: Piece, start: number, answer: HubAnswer, context: DownloadContext): Promise<void> => {
	let at = start;
	try {
		for await (const data of answer.body) {
			const chunk = data as Buffer;
			const skip = Math.max(0, piece.start + piece.have - at);
			const wanted = chunk.subarray(Math.min(skip, chunk.length), Math.max(0, piece.end - at));
			at += chunk.length;
			if (wanted.length > 0) {
				await part.handle.write(wanted, 0, wanted.length, piece.start + piece.have);
				// Another piece's answer may have shrunk this one meanwhile.
				const counted = Math.min(wanted.length, Math.max(0, piece.end - piece.start - piece.have));
				piece.have += counted;
				context.onBytes(counted);
			}
			if (isDone(piece)) break;
		}
	} finally {
		answer.body.destroy();
	}
};

const retryAfterMs = (answer: HubAnswer | undefined): number => {
	const seconds = Number(answer?.headers['retry-after'] ?? 0);
	return Number.isFinite(seconds) ? Math.min(seconds * 1000, PULL_LIMITS.retryCapMs) : 0;
};

/** One request for what a piece lacks. */
const fetchOnce = async (part: Part, piece: Piece, context: DownloadContext): Promise<HubAnswer> => {
	const from = piece.start + piece.have;
	const answer = await context.client.get(part.url, { range: `bytes=${from}-${piece.end - 1}`, signal: context.abort.signal });
	const sentence = refusal(answer, context.spec, context.client);
	if (sentence !== undefined) {
		answer.body.destroy();
		throw new UserError(sentence);
	}
	const start = bodyStart(part, from, answer, context);
	if (start === undefined) answer.body.destroy();
	else await writeBody(part, piece, start, answer, context);
	return answer;
};

/** Trouble of this machine's disk, which no other answer of the hub would end. */
const DISK_ERRORS: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EIO', 'EROFS', 'EFBIG']);

/** One try. @returns what came of it: an answer, or why there is none @throws what no other try would change */
const tryPiece = async (part: Part, piece: Piece, context: DownloadContext): Promise<{ answer?: HubAnswer; failure?: unknown }> => {
	context.abort.signal.throwIfAborted();
	try {
		return { answer: await fetchOnce(part, piece, context) };
	} catch (failure) {
		const final = failure instanceof UserError || DISK_ERRORS.has(errorCode(failure) ?? '');
		if (final || context.abort.signal.aborted) throw failure;
		return { failure };
	}
};

const fetchPiece = async (part: Part, piece: Piece, context: DownloadContext): Promise<void> => {
	let fruitless = 0;
	while (!isDone(piece) && part.state.pieces.includes(piece)) {
		const before = piece.have;
		const { answer, failure } = await tryPiece(part, piece, context);
		if (piece.have > before || isDone(piece)) {
			fruitless = 0;
			continue;
		}
		if (++fruitless >= PULL_LIMITS.fruitlessTries)
			throw unreachable(
				context.client.endpoint,
				failure ?? new Error(`status ${answer?.status ?? 0} for ${part.file.path}`),
				context.client.mirror,
			);
		const jitter = fullJitter(fruitless, Math.random(), { firstMs: context.retryFirstMs, capMs: PULL_LIMITS.retryCapMs });
		await sleep(Math.max(jitter, retryAfterMs(answer)), context.abort.signal);
	}
};

const partName = (blob: string): string => `${blob}.limner-part`;

const readState = async (stateFile: string, dataFile: string): Promise<PartState | undefined> => {
	if (!existsSync(dataFile)) return undefined;
	try {
		const state = PartState.parse(JSON.parse(await readFile(stateFile, 'utf8')));
		const reach = Math.max(0, ...state.pieces.map((piece) => (piece.have === 0 ? 0 : piece.start + piece.have)));
		return isSound(state) && (await stat(dataFile)).size >= reach ? state : undefined;
	} catch {
		// None yet, or damaged: the file starts anew.
		return undefined;
	}
};

const saveState = async ({ state, stateFile }: Part): Promise<void> => {
	const text = JSON.stringify(state);
	await writeFile(`${stateFile}.tmp`, text);
	await rename(`${stateFile}.tmp`, stateFile);
};

/**
 * Waits for all; when one fails, ends the others and waits for their end, so that nothing writes behind the caller's back.
 * @throws what failed first
 */
export const allOrFirst = async (actions: readonly Promise<void>[], abort: AbortController): Promise<void> => {
	let failed = false;
	const watched = actions.map((action) =>
		action.catch((error: unknown) => {
			failed = true;
			// The first reason stays; what fails by the abort itself is no news.
			abort.abort(error);
		}),
	);
	await Promise.all(watched);
	if (failed) throw abort.signal.reason;
};

/** Fetches until every piece is here; what came is written down all along, and also on the way out. */
const fetchAll = async (part: Part, context: DownloadContext): Promise<void> => {
	let saving = Promise.resolve();
	const save = (): void => {
		saving = saving.then(() => saveState(part)).catch(() => undefined);
	};
	const timer = setInterval(save, PULL_LIMITS.saveStateMs);
	try {
		// A size that grows adds pieces while others are fetched.
		for (let missing = part.state.pieces; missing.length > 0; missing = part.state.pieces.filter((piece) => !isDone(piece))) {
			await allOrFirst(
				missing.map((piece) => context.gate.run(() => fetchPiece(part, piece, context))),
				context.abort,
			);
		}
	} finally {
		clearInterval(timer);
		save();
		await saving;
	}
};

const openPart = async (file: HubFile, url: string, blob: string, context: DownloadContext): Promise<Part> => {
	const stateFile = `${partName(blob)}.json`;
	const kept = await readState(stateFile, partName(blob));
	const state = kept ?? { total: file.bytes, pieces: planPieces(file.bytes, context.pieceBytes) };
	context.onBytes(received(state.pieces));
	return { file, url, handle: await open(partName(blob), kept === undefined ? 'w+' : 'r+'), state, stateFile, sizeChanges: 0 };
};

const tryDownload = async (file: HubFile, url: string, blob: string, context: DownloadContext): Promise<boolean> => {
	const part = await openPart(file, url, blob, context);
	try {
		await fetchAll(part, context);
		await part.handle.truncate(part.state.total);
		await part.handle.datasync();
	} finally {
		await part.handle.close();
	}
	const right = (await hashOf(partName(blob), file.kind)) === file.oid;
	if (right) await rename(partName(blob), blob);
	else {
		context.onBytes(-received(part.state.pieces));
		await rm(partName(blob), { force: true });
	}
	await rm(part.stateFile, { force: true });
	return right;
};

/**
 * Bytes of a file that an earlier download left, finished (and right) or not.
 * @param blob where the finished file is
 */
export const bytesHere = async (blob: string): Promise<number> => {
	if (existsSync(blob)) return (await stat(blob)).size;
	const state = await readState(`${partName(blob)}.json`, partName(blob));
	return state === undefined ? 0 : received(state.pieces);
};

/**
 * Makes sure that the blob of a file is in the cache with the right content.
 * @param blob absolute path that the finished file gets
 * @throws {UserError} when the hub refuses, cannot be reached, or sends wrong content again
 */
export const downloadBlob = async (file: HubFile, url: string, blob: string, context: DownloadContext): Promise<void> => {
	if (existsSync(blob)) {
		if ((await hashOf(blob, file.kind)) === file.oid) return context.onBytes((await stat(blob)).size);
		context.onNote(`${file.path} in the cache is damaged and is downloaded again.`);
		await rm(blob);
	}
	for (let attempt = 1; attempt <= PULL_LIMITS.wrongHashTries; attempt++) {
		if (await tryDownload(file, url, blob, context)) return;
		context.onNote(
			`${file.path} arrived damaged (its hash is wrong)${attempt < PULL_LIMITS.wrongHashTries ? ' and is downloaded again' : ''}.`,
		);
	}
	throw new UserError(
		`${file.path} arrived damaged ${PULL_LIMITS.wrongHashTries} times: its hash is not the one that ${context.client.endpoint} names. A proxy or mirror may alter it; try again over another connection.`,
	);
};

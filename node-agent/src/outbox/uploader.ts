/**
 * Uploads what is in the outbox, repeated with jittered pauses until the gateway has decided.
 * @module
 */
import { TIMING } from '@limner/shared';
import { fullJitter } from '../lib/backoff.ts';
import { errorCode, messageOf } from '../lib/user-error.ts';
import { outboxKey, type Outbox, type OutboxRecord } from './outbox.ts';
import { sendPicture, type UploadAnswer } from './send.ts';

export type UploadVerdict =
	/** The picture is the result. */
	| { kind: 'accepted' }
	/** Another attempt owns the task, or the job is gone. */
	| { kind: 'dropped'; why: string }
	/** The gateway does not want these bytes. */
	| { kind: 'refused'; why: string }
	| { kind: 'retry'; afterMs: number; why: string };

const BACKOFF = { firstMs: 500, capMs: 30_000 } as const;

/**
 * What an answer to the PUT means.
 * @param status HTTP status; 0 when nothing answered
 * @param ageMs time since the picture was made: after a ticket's life no repeat can succeed
 */
export const judgeUpload = (answer: UploadAnswer, attempt: number, ageMs: number, random: number): UploadVerdict => {
	const { status, detail } = answer;
	if (status >= 200 && status < 300) return { kind: 'accepted' };
	if (status === 409 || status === 410) return { kind: 'dropped', why: detail };
	if (status === 422 || status === 413) return { kind: 'refused', why: detail };
	if (ageMs > TIMING.ticketTtlMs) return { kind: 'dropped', why: `its ticket has expired (last answer: ${detail})` };
	const wait = fullJitter(attempt, random, BACKOFF);
	return { kind: 'retry', afterMs: Math.max(wait, Math.min(RETRY_AFTER_CAP_MS, (answer.retryAfterS ?? 0) * 1000)), why: detail };
};

export interface UploaderOptions {
	/** Base address of the gateway, read at each try. */
	gateway: () => string;
	outbox: Outbox;
	onVerdict: (record: OutboxRecord, verdict: UploadVerdict, attempt: number) => void;
	concurrency?: number;
	now?: () => number;
	random?: () => number;
}

interface Item {
	record: OutboxRecord;
	bytes?: Uint8Array | undefined;
	attempt: number;
	state: 'ready' | 'sending' | 'waiting';
	timer?: NodeJS.Timeout;
}

const DEFAULT_CONCURRENCY = 4;
/** Half-open connections are noticed after this long at the first try. */
const UPLOAD_TIMEOUT_MS = 60_000;
/** The slowest connection that still gets its pictures through, in bytes a millisecond. */
const SLOWEST_BYTES_PER_MS = 4;
/** A gateway that asks for a longer pause is asked again after this one. */
const RETRY_AFTER_CAP_MS = 5 * 60_000;

/** How long a try may take: longer each time, up to what a slow connection needs. */
export const uploadTimeoutMs = (bytes: number, attempt: number): number =>
	Math.min(UPLOAD_TIMEOUT_MS * 2 ** Math.min(attempt, 10), UPLOAD_TIMEOUT_MS + Math.ceil(bytes / SLOWEST_BYTES_PER_MS));

export class Uploader {
	readonly #options: UploaderOptions;
	readonly #items = new Map<string, Item>();
	readonly #abort = new AbortController();
	readonly #idleWaiters = new Set<() => void>();
	#sending = 0;
	#stopped = false;

	constructor(options: UploaderOptions) {
		this.#options = options;
	}

	/** Starts the upload of a picture that is in the outbox; its bytes may be passed to spare reading them again. */
	add(record: OutboxRecord, bytes?: Uint8Array): void {
		this.#items.set(outboxKey(record), { record, bytes, attempt: 0, state: 'ready' });
		this.#pump();
	}

	/** Tries everything that waits at once: the gateway is back. */
	kick(): void {
		for (const item of this.#items.values()) {
			if (item.state !== 'waiting') continue;
			clearTimeout(item.timer);
			item.state = 'ready';
		}
		this.#pump();
	}

	/** Forgets a picture: the gateway said so. */
	async forget(key: string): Promise<void> {
		const item = this.#items.get(key);
		if (item === undefined) return;
		clearTimeout(item.timer);
		await this.#finish(key, item);
	}

	/** Resolves when nothing waits any more (true), or after `timeoutMs` (false). */
	async idle(timeoutMs: number): Promise<boolean> {
		if (this.#items.size === 0) return true;
		return new Promise((resolve) => {
			const settle = (drained: boolean): void => {
				clearTimeout(timer);
				this.#idleWaiters.delete(waiter);
				resolve(drained);
			};
			const waiter = (): void => settle(true);
			const timer = setTimeout(() => settle(false), timeoutMs);
			this.#idleWaiters.add(waiter);
		});
	}

	get pending(): number {
		return this.#items.size;
	}

	/** Stops for good; what waits stays in the outbox for the next start. */
	stop(): void {
		this.#stopped = true;
		this.#abort.abort();
		for (const item of this.#items.values()) clearTimeout(item.timer);
	}

	#pump(): void {
		for (const [key, item] of this.#items) {
			if (this.#stopped || this.#sending >= (this.#options.concurrency ?? DEFAULT_CONCURRENCY)) return;
			if (item.state !== 'ready') continue;
			item.state = 'sending';
			this.#sending++;
			void this.#upload(key, item).finally(() => {
				this.#sending--;
				this.#pump();
			});
		}
	}

	async #upload(key: string, item: Item): Promise<void> {
		const { outbox, gateway, now = Date.now, random = Math.random } = this.#options;
		let bytes: Uint8Array;
		try {
			bytes = item.bytes ?? (await outbox.bytesOf(item.record));
		} catch (error) {
			const why = `its file cannot be read: ${messageOf(error)}`;
			if (errorCode(error) === 'ENOENT') return this.#finish(key, item, { kind: 'dropped', why });
			// Too many open files, a network folder that is away: the picture is still there.
			return this.#settle(key, item, judgeUpload({ status: 0, detail: why }, item.attempt, now() - item.record.createdAt, random()));
		}
		const timeoutMs = uploadTimeoutMs(bytes.length, item.attempt);
		const answer = await sendPicture(gateway(), item.record, bytes, { signal: this.#abort.signal, timeoutMs, attempt: item.attempt });
		const verdict = judgeUpload(answer, item.attempt, now() - item.record.createdAt, random());
		return this.#settle(key, item, verdict);
	}

	/** Ends the item, or has it tried again later. */
	async #settle(key: string, item: Item, verdict: UploadVerdict): Promise<void> {
		if (this.#stopped || this.#items.get(key) !== item) return undefined;
		if (verdict.kind !== 'retry') return this.#finish(key, item, verdict);
		this.#options.onVerdict(item.record, verdict, item.attempt);
		item.attempt++;
		item.state = 'waiting';
		// Memory is scarcer than disk while the gateway is away.
		item.bytes = undefined;
		item.timer = setTimeout(() => {
			item.state = 'ready';
			this.#pump();
		}, verdict.afterMs);
		return undefined;
	}

	async #finish(key: string, item: Item, verdict?: UploadVerdict): Promise<void> {
		this.#items.delete(key);
		await this.#options.outbox.remove(item.record).catch(() => undefined);
		if (verdict !== undefined) this.#options.onVerdict(item.record, verdict, item.attempt);
		if (this.#items.size === 0) for (const waiter of this.#idleWaiters) waiter();
	}
}

/**
 * Calls back about one job, for clients that name an address with their request (Cog's and Replicate's `webhook`). A row says who
 * waits for a job; its letters are deliveries like those of webhooks, tried for as long, and judged by the same rules.
 * @module
 */
import { TIMING } from '@limner/shared';
import { predictionOf } from '../dialects/cog/view.ts';
import type { JobRow } from '../rpc.ts';
import type { CallbackInput } from './rpc.ts';
import type { DeliveryRow } from './store.ts';

type CallbackSql = { job: string; url: string; base: string; path: string; events: string; created_at: number; done: number };
export type CallbackRow = CallbackSql;

/** What stands in the place of a webhook's id. */
export const callbackId = (job: string): string => `cb_${job}`;
export const isCallback = (webhookId: string): boolean => webhookId.startsWith('cb_');
/** Where the letters of all predictions are listed, beside webhooks that somebody registered. */
export const PREDICTIONS = 'predictions';
const jobOf = (webhookId: string): string => webhookId.slice('cb_'.length);

export class Callbacks {
	readonly #sql: SqlStorage;
	constructor(sql: SqlStorage) {
		this.#sql = sql;
	}

	/** Remembers who waits; a repeat changes nothing and answers false. */
	add(input: CallbackInput, nowMs: number): boolean {
		const { job, url, base, path, events } = input;
		return (
			this.#sql.exec(
				'INSERT OR IGNORE INTO callbacks (job, url, base, path, events, created_at, done) VALUES (?, ?, ?, ?, ?, ?, 0)',
				job,
				url,
				base,
				path,
				JSON.stringify(events),
				nowMs,
			).rowsWritten > 0
		);
	}

	get(job: string): CallbackRow | undefined {
		return this.#sql.exec<CallbackSql>('SELECT * FROM callbacks WHERE job = ?', job).toArray()[0];
	}

	/** The address that a delivery goes to. */
	urlOf(webhookId: string): string | undefined {
		return this.get(jobOf(webhookId))?.url;
	}

	/** Whether the end of some job is still waited for. */
	get waiting(): boolean {
		return this.#sql.exec('SELECT 1 FROM callbacks WHERE done = 0 LIMIT 1').toArray().length > 0;
	}

	finish(job: string): void {
		this.#sql.exec('UPDATE callbacks SET done = 1 WHERE job = ?', job);
	}

	/** Deliveries that are due with their addresses, oldest first. */
	due(nowMs: number, limit: number): { row: DeliveryRow; url: string }[] {
		return this.#sql
			.exec<DeliveryRow>(
				"SELECT * FROM deliveries WHERE state = 'pending' AND next_at <= ? AND webhook_id GLOB 'cb_*' ORDER BY id LIMIT ?",
				nowMs,
				limit,
			)
			.toArray()
			.flatMap((row) => {
				const url = this.urlOf(row.webhook_id);
				return url === undefined ? [] : [{ row, url }];
			});
	}

	/** Forgets who waited before a time, when no letter is left that could be sent again. */
	prune(beforeMs: number): void {
		this.#sql.exec(
			"DELETE FROM callbacks WHERE done = 1 AND created_at < ? AND ('cb_' || job) NOT IN (SELECT webhook_id FROM deliveries)",
			beforeMs,
		);
	}
}

/** Whether a request that names these events wants to hear of the beginning, or of the end. Pictures and logs come with the end. */
export const wantsStart = (events: readonly string[]): boolean => events.includes('start');
export const wantsEnd = (events: readonly string[]): boolean => events.some((event) => event !== 'start');

/**
 * Body of a letter: the prediction as it is now, with addresses of its pictures, which are too large to keep in a letter.
 * @param atMs milliseconds since the epoch
 */
export const callbackBody = (secret: string, { base, path }: Pick<CallbackRow, 'base' | 'path'>, row: JobRow, atMs: number): string =>
	// The last attempt may be a day away, and its receiver needs the usual time then.
	JSON.stringify(predictionOf({ secret, base, nowMs: atMs + 2 * 12 * TIMING.imageUrlTtlMs }, row, path));

/**
 * Webhooks as rows: what may be registered, and what a change makes of one. Pure.
 * @module
 */
import { isEventFilter, refuse, urlProblem, type BackupPartOf, type Refusal } from '@limner/shared';
import type { WebhookInput } from './rpc.ts';
import type { WebhookRow } from './store.ts';

type Made = { ok: true; row: WebhookRow } | Refusal;

const problemOf = (url: string, events: readonly string[], allowPrivate: boolean): Refusal | undefined => {
	const problem = urlProblem(url, allowPrivate);
	if (problem !== undefined) {
		const detail = `the address is refused: ${problem}`;
		return refuse('validation_failed', detail, { errors: [{ pointer: '/url', detail }] });
	}
	const index = events.findIndex((filter) => !isEventFilter(filter));
	if (index < 0) return undefined;
	const detail = `no event is called ${events[index] ?? ''}; see docs/webhooks.md for the list`;
	return refuse('validation_failed', detail, { errors: [{ pointer: `/events/${index}`, detail }] });
};

/** A new webhook. */
export const newWebhook = (input: WebhookInput, allowPrivate: boolean, id: string, nowMs: number): Made => {
	const refused = problemOf(input.url, input.events, allowPrivate);
	if (refused !== undefined) return refused;
	const row: WebhookRow = {
		id,
		url: input.url,
		events: JSON.stringify(input.events),
		description: input.description,
		base: input.base,
		enabled: input.enabled ? 1 : 0,
		disabled_reason: null,
		version: 1,
		previous_until: null,
		created_at: nowMs,
		updated_at: nowMs,
		last_success_at: null,
		last_failure_at: null,
	};
	return { ok: true, row };
};

/** A webhook after a change. Switching it on again forgets why it was switched off. */
export const changedWebhook = (row: WebhookRow, change: Partial<WebhookInput>, allowPrivate: boolean, nowMs: number): Made => {
	const url = change.url ?? row.url;
	const events = change.events ?? (JSON.parse(row.events) as string[]);
	const refused = problemOf(url, events, allowPrivate);
	if (refused !== undefined) return refused;
	const enabled = change.enabled === undefined ? row.enabled : Number(change.enabled);
	const next: WebhookRow = {
		...row,
		url,
		events: JSON.stringify(events),
		description: change.description ?? row.description,
		base: change.base ?? row.base,
		enabled,
		disabled_reason: enabled === 1 ? null : row.disabled_reason,
		updated_at: nowMs,
	};
	return { ok: true, row: next };
};

/** A webhook as a backup keeps it. Its secret is derived from its id and number, so they come along. */
export const webhookPart = (row: WebhookRow): BackupPartOf<'webhook'> => ({
	kind: 'webhook',
	id: row.id,
	url: row.url,
	events: JSON.parse(row.events) as string[],
	description: row.description,
	enabled: row.enabled === 1,
	base: row.base,
	version: row.version,
	createdAt: row.created_at,
});

/** A webhook from a backup, judged as a new one is. */
export const restoredWebhook = (part: BackupPartOf<'webhook'>, allowPrivate: boolean, nowMs: number): Made => {
	const made = newWebhook(part, allowPrivate, part.id, nowMs);
	return made.ok ? { ok: true, row: { ...made.row, version: part.version } } : made;
};

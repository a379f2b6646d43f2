/**
 * How rows of the ledger become events that webhooks are told. Pure.
 * @module
 */
import { TIMING, type EventType, type LedgerEntry, type LedgerRow } from '@limner/shared';
import { jobView } from '../lib/views.ts';
import type { JobRow } from '../rpc.ts';

export interface Message {
	type: EventType;
	/** Milliseconds since the epoch. */
	at: number;
	data: unknown;
}

/** Body of a message as the specification wants it. */
export const bodyOf = (message: Message): string =>
	JSON.stringify({ type: message.type, timestamp: new Date(message.at).toISOString(), data: message.data });

const NODE_EVENTS: Record<string, EventType> = {
	'node.pause': 'node.paused',
	'node.resume': 'node.resumed',
	'node.drain': 'node.draining',
	'node.terminate': 'node.terminated',
	'node.ban': 'node.terminated',
};

const STATES: Record<string, EventType> = {
	succeeded: 'job.succeeded',
	failed: 'job.failed',
	canceled: 'job.canceled',
	expired: 'job.expired',
};

/** Jobs that the events of a row show. */
export const jobsShown = (row: LedgerRow): string[] =>
	row.entries.flatMap((entry) => (entry.type === 'settle' && STATES[entry.state] !== undefined ? [entry.job] : []));

export interface EventContext {
	secret: string;
	base: string;
	/** Rows of the jobs that `jobsShown` named. */
	job: (id: string) => JobRow | undefined;
}

const jobMessage = (entry: Extract<LedgerEntry, { type: 'settle' }>, at: number, context: EventContext): Message[] => {
	const type = STATES[entry.state];
	const row = context.job(entry.job);
	if (type === undefined || row === undefined) return [];
	// The last attempt may be a day away, and its receiver needs the usual time then.
	const nowMs = at + 2 * 12 * TIMING.imageUrlTtlMs;
	return [{ type, at, data: jobView({ secret: context.secret, base: context.base, nowMs }, row) }];
};

/** Messages of one entry. */
export const messagesOf = (row: LedgerRow, entry: LedgerEntry, context: EventContext): Message[] => {
	const { at } = row;
	switch (entry.type) {
		case 'settle':
			return jobMessage(entry, at, context);
		case 'purge':
			return [{ type: 'images.deleted', at, data: { jobId: entry.job, indexes: entry.indexes } }];
		case 'expire':
			return [{ type: 'images.expired', at, data: { jobIds: entry.jobs } }];
		case 'action': {
			const { type: _type, ...action } = entry;
			const node = NODE_EVENTS[entry.action];
			const data = { ...action, seq: row.seq };
			return [
				...(node === undefined ? [] : [{ type: node, at, data: { nodeId: entry.target, ...data } }]),
				{ type: 'audit.action', at, data },
			];
		}
		default:
			return [];
	}
};

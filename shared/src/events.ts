/**
 * Events that webhooks can be told: what they are called, and who wants them. Pure, without dependencies: the studio has it too.
 * @module
 */
export const EVENT_TYPES = [
	'job.succeeded',
	'job.failed',
	'job.canceled',
	'job.expired',
	'images.deleted',
	'images.expired',
	'node.paused',
	'node.resumed',
	'node.draining',
	'node.terminated',
	'audit.action',
	'alert.raised',
	'alert.escalated',
	'alert.acknowledged',
	'alert.resolved',
	'webhook.test',
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** What a webhook may choose: a test comes to every webhook. */
export const CHOOSABLE_EVENTS: readonly EventType[] = EVENT_TYPES.filter((type) => type !== 'webhook.test');

/** Takes every event. */
export const EVERY_EVENT = '*';

/** What a filter looks like: everything, a group (`job.*`), or one event. */
export const EVENT_FILTER = /^(?:\*|[a-z]+\.(?:\*|[a-z-]+))$/;

/** Whether a filter takes an event. */
export const filterTakes = (filter: string, type: string): boolean =>
	filter === EVERY_EVENT || filter === type || (filter.endsWith('.*') && type.startsWith(filter.slice(0, -1)));

/** Whether a filter names something that exists. */
export const isEventFilter = (filter: string): boolean => EVENT_TYPES.some((type) => filterTakes(filter, type));

/** Whether a webhook wants an event. A test is for everybody. */
export const wantsEvent = (filters: readonly string[], type: string): boolean =>
	type === 'webhook.test' || filters.some((filter) => filterTakes(filter, type));

/**
 * Metrics of all shards, as one sum and as Prometheus text.
 * @module
 */
import { LimnerError } from '@limner/shared';
import type { PoolMetrics } from '../rpc.ts';
import type { AppContext } from './context.ts';
import { idempotent, poolOf, shardsOf, workspaceOf } from './stubs.ts';

/** What the document says of routes with these numbers. */
export const OF_ALL =
	'They are about all workspaces, so keys of the workspace that runs the gateway alone may read them; those of your own are at /api/v1/pool/metrics.';

/**
 * Numbers of all workspaces together are for those who run the gateway.
 * @throws {LimnerError} `forbidden`
 */
export const mustRunGateway = async (c: AppContext): Promise<void> => {
	const { ws, scopes } = c.get('principal');
	if (scopes.includes('operator')) return;
	const runs = await idempotent(
		() => workspaceOf(c.env, ws),
		(stub) => stub.runsGateway(),
	);
	if (!runs)
		throw new LimnerError('forbidden', {
			detail: 'these numbers are about all workspaces and for the one that runs the gateway; yours are at /api/v1/pool/metrics',
		});
};

const addRecords = <T extends Record<string, number>>(a: T, b: T): T => {
	const out: Record<string, number> = { ...a };
	for (const [key, value] of Object.entries(b)) out[key] = (out[key] ?? 0) + value;
	return out as T;
};

/** Sums since the object started. */
export const COUNTERS = [
	'granted',
	'completed',
	'failed',
	'requeued',
	'staleResults',
	'unknownFrames',
	'badFrames',
	'handoffs',
	'handoffsMet',
	'prefetches',
] as const;
/** What is so now. */
export const GAUGES = ['queued', 'waiting', 'running', 'nodesOnline', 'slots', 'slotsBusy', 'watchers'] as const;
export type MetricName = (typeof COUNTERS)[number] | (typeof GAUGES)[number];

/** Sum of two shards. Quantiles cannot be added; the worse one is kept, which never looks better than the truth. */
export const addMetrics = (a: PoolMetrics, b: PoolMetrics): PoolMetrics => {
	const sums = Object.fromEntries([...COUNTERS, ...GAUGES].map((name) => [name, a[name] + b[name]])) as Pick<
		PoolMetrics,
		(typeof COUNTERS)[number] | (typeof GAUGES)[number]
	>;
	return {
		...sums,
		wakeups: addRecords(a.wakeups, b.wakeups),
		rowsWritten: addRecords(a.rowsWritten, b.rowsWritten),
		dispatchMs: {
			p50: Math.max(a.dispatchMs.p50, b.dispatchMs.p50),
			p95: Math.max(a.dispatchMs.p95, b.dispatchMs.p95),
			count: a.dispatchMs.count + b.dispatchMs.count,
		},
	};
};

const EMPTY: PoolMetrics = {
	queued: 0,
	running: 0,
	nodesOnline: 0,
	slots: 0,
	slotsBusy: 0,
	watchers: 0,
	granted: 0,
	completed: 0,
	failed: 0,
	requeued: 0,
	staleResults: 0,
	unknownFrames: 0,
	badFrames: 0,
	waiting: 0,
	handoffs: 0,
	handoffsMet: 0,
	prefetches: 0,
	wakeups: { frame: 0, call: 0, alarm: 0, construct: 0 },
	rowsWritten: {},
	dispatchMs: { p50: 0, p95: 0, count: 0 },
};

/** Asks every shard. */
export const poolMetrics = async (c: AppContext): Promise<{ total: PoolMetrics; shards: PoolMetrics[] }> => {
	const shards = await Promise.all(
		shardsOf(c.env).map((shard) =>
			idempotent(
				() => poolOf(c.env, shard),
				(stub) => stub.metrics(),
			),
		),
	);
	return { total: shards.reduce(addMetrics, EMPTY), shards };
};

const snake = (name: string): string => name.replaceAll(/[A-Z]/g, (char) => `_${char.toLowerCase()}`);
const label = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

type Sample = { labels: Record<string, string>; value: number };

const family = (name: string, type: 'counter' | 'gauge', help: string, samples: Sample[]): string[] => [
	`# HELP ${name} ${help}`,
	`# TYPE ${name} ${type}`,
	...samples.map(({ labels, value }) => {
		const inner = Object.entries(labels)
			.map(([key, text]) => `${key}="${label(text)}"`)
			.join(',');
		return `${name}{${inner}} ${value}`;
	}),
];

const HELP: Record<(typeof COUNTERS)[number] | (typeof GAUGES)[number], string> = {
	queued: 'Tasks that wait for a slot',
	running: 'Tasks that a slot works on',
	nodesOnline: 'Nodes with a live socket',
	slots: 'Slots of those nodes',
	slotsBusy: 'Slots with a task',
	watchers: 'Open event streams',
	granted: 'Tasks handed to a slot',
	completed: 'Pictures accepted',
	failed: 'Tasks failed for good',
	requeued: 'Tasks taken back and queued again',
	staleResults: 'Results of attempts that no longer owned their task',
	unknownFrames: 'Frames of an unknown type',
	badFrames: 'Frames that could not be read',
	waiting: 'Jobs that wait for other jobs',
	handoffs: 'Dependencies that were decided',
	handoffsMet: 'Dependencies that brought what was waited for',
	prefetches: 'Hints to fetch a model ahead of need',
};

/** Prometheus text exposition (0.0.4), one label `shard` on every sample. */
export const prometheusText = (shards: readonly PoolMetrics[]): string => {
	const each = (read: (metrics: PoolMetrics) => Sample[]): Sample[] =>
		shards.flatMap((metrics, shard) => read(metrics).map(({ labels, value }) => ({ labels: { shard: String(shard), ...labels }, value })));
	const one = (name: keyof typeof HELP): Sample[] => each((metrics) => [{ labels: {}, value: metrics[name] }]);
	const many = (key: string, read: (metrics: PoolMetrics) => Record<string, number>): Sample[] =>
		each((metrics) => Object.entries(read(metrics)).map(([name, value]) => ({ labels: { [key]: name }, value })));
	const lines = [
		...GAUGES.flatMap((name) => family(`limner_pool_${snake(name)}`, 'gauge', HELP[name], one(name))),
		...COUNTERS.flatMap((name) => family(`limner_pool_${snake(name)}_total`, 'counter', HELP[name], one(name))),
		...family(
			'limner_pool_wakeups_total',
			'counter',
			'Times the object ran code, by cause',
			many('cause', (m) => m.wakeups),
		),
		...family(
			'limner_pool_rows_written_total',
			'counter',
			'Rows written, by table',
			many('table', (m) => m.rowsWritten),
		),
		...family(
			'limner_pool_dispatch_milliseconds',
			'gauge',
			'From acceptance to the node, over the last jobs',
			many('quantile', ({ dispatchMs }) => ({ '0.5': dispatchMs.p50, '0.95': dispatchMs.p95 })),
		),
	];
	return `${lines.join('\n')}\n`;
};

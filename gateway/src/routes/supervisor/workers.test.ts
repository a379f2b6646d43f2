import { describe, expect, it } from 'vitest';
import { mergeModels, modelView, type KnownModel, BUILT_IN_MODELS } from '../../lib/catalog.ts';
import { BoundedCache } from '../../lib/cache.ts';
import { addMetrics, prometheusText } from '../../lib/pool-metrics.ts';
import type { NodeView, PoolMetrics, SlotView } from '../../rpc.ts';
import { hasScope, readApiKey } from '../../lib/auth.ts';
import { matches, workerStatus } from './workers.ts';

const slot = (state: SlotView['state']): SlotView => ({ id: 'n/s', nodeId: 'n', slotId: 's', state, device: 'cpu', engine: 'onnx' });
const node = (mode: NodeView['mode'], ...states: SlotView['state'][]) => ({ mode, slots: states.map(slot) });

describe('workerStatus', () => {
	it.each([
		[node('active', 'IDLE', 'RUNNING'), 'RUNNING'],
		[node('active', 'IDLE', 'FAILED'), 'IDLE'],
		[node('active', 'FAILED', 'FAILED'), 'FAILED'],
		[node('active'), 'IDLE'],
		[node('draining', 'RUNNING'), 'RUNNING'],
		[node('draining', 'IDLE'), 'PAUSED'],
		[node('paused', 'IDLE'), 'PAUSED'],
		[node('terminated', 'RUNNING'), 'TERMINATED'],
	] as const)('%j', (given, status) => {
		expect(workerStatus(given)).toBe(status);
	});
});

describe('matches', () => {
	const full = { ...node('active', 'IDLE'), ws: 'acme', models: [{ name: 'storybook' }] } as unknown as NodeView;
	it('needs every filter', () => {
		expect(matches(full, {})).toBe(true);
		expect(matches(full, { status: 'IDLE', model: 'storybook', workspaceId: 'acme' })).toBe(true);
		expect(matches(full, { status: 'RUNNING' })).toBe(false);
		expect(matches(full, { model: 'other' })).toBe(false);
		expect(matches(full, { workspaceId: 'other' })).toBe(false);
	});
});

describe('models', () => {
	const base = BUILT_IN_MODELS.find(({ name }) => name === 'storybook') as KnownModel;
	it('are one entry a name over all shards', () => {
		const merged = mergeModels([
			BUILT_IN_MODELS,
			[{ ...base, nodes: 2, scope: 'new' }],
			[
				{ ...base, nodes: 1, warm: true },
				{ ...base, name: 'a' },
			],
		]);
		expect(merged.map((model) => [model.name, model.nodes])).toEqual([
			['a', 0],
			['storybook', 3],
			['storybook-inpaint', 0],
			['storybook-lightning', 0],
		]);
		const storybook = merged.find(({ name }) => name === base.name);
		expect(modelView(storybook!, 'storybook')).toMatchObject({ scope: 'new', warm: true, isDefault: true, nodes: 3 });
	});
});

describe('metrics', () => {
	const one: PoolMetrics = {
		queued: 1,
		running: 2,
		nodesOnline: 3,
		slots: 4,
		slotsBusy: 2,
		watchers: 0,
		granted: 9,
		completed: 8,
		failed: 1,
		requeued: 0,
		staleResults: 0,
		unknownFrames: 0,
		badFrames: 0,
		waiting: 0,
		handoffs: 0,
		handoffsMet: 0,
		prefetches: 0,
		wakeups: { frame: 1, call: 2, alarm: 3, construct: 1 },
		rowsWritten: { live: 5 },
		dispatchMs: { p50: 4, p95: 9, count: 10 },
	};
	it('add up, but for quantiles', () => {
		expect(addMetrics(one, { ...one, rowsWritten: { nodes: 1 }, dispatchMs: { p50: 2, p95: 20, count: 1 } })).toMatchObject({
			queued: 2,
			granted: 18,
			rowsWritten: { live: 5, nodes: 1 },
			wakeups: { alarm: 6 },
			dispatchMs: { p50: 4, p95: 20, count: 11 },
		});
	});
	it('are valid Prometheus text', () => {
		const text = prometheusText([one, one]);
		expect(text).toContain('limner_pool_nodes_online{shard="1"} 3\n');
		expect(text).toContain('limner_pool_wakeups_total{shard="0",cause="frame"} 1\n');
		for (const line of text.trimEnd().split('\n')) {
			expect(line).toMatch(/^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+\{([a-z_]+="[^"]*",?)+\} -?[\d.]+)$/);
		}
	});
});

describe('BoundedCache', () => {
	it('forgets by age and by number', () => {
		const cache = new BoundedCache<number>(2, 1000);
		cache.set('a', 1, 0);
		expect(cache.get('a', 999)).toBe(1);
		expect(cache.get('a', 1000)).toBeUndefined();
		expect(cache.peek('a')).toBe(1);
		cache.set('b', 2, 0);
		cache.set('c', 3, 0);
		expect(cache.size).toBe(2);
		expect(cache.peek('a')).toBeUndefined();
	});
});

const basic = (text: string): Headers => new Headers({ authorization: `Basic ${btoa(text)}` });

describe('keys', () => {
	it('are read from either header', () => {
		expect(readApiKey(new Headers({ authorization: 'bearer lk_x' }))).toBe('lk_x');
		expect(readApiKey(new Headers({ 'x-api-key': ' lk_y ' }))).toBe('lk_y');
		expect(readApiKey(basic('anybody:lk_z'))).toBe('lk_z');
		expect(readApiKey(basic('lk_z:'))).toBe('lk_z');
		expect(readApiKey(basic(':'))).toBeUndefined();
		expect(readApiKey(new Headers({ authorization: 'Basic ??' }))).toBeUndefined();
		expect(readApiKey(new Headers())).toBeUndefined();
	});
	it('need the very scope, or admin', () => {
		expect(hasScope(['jobs:write'], 'jobs:read')).toBe(false);
		expect(hasScope(['jobs:read'], 'jobs:read')).toBe(true);
		expect(hasScope(['admin'], 'supervisor:write')).toBe(true);
	});
});

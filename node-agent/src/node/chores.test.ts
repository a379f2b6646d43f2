import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JobSpec } from '@limner/shared';
import type { StoredModel } from '../models/store.ts';
import { ChoreError, Chores, SourceError, type ChoreParts } from './chores.ts';

const never = new AbortController().signal;
let dir = '';
let hub: Server | undefined;

/** A model source that answers everything with one status, and where it is. */
const startHub = async (status: number): Promise<string> => {
	hub = createServer((_, response) => response.writeHead(status).end());
	await new Promise<void>((resolve) => hub?.listen(0, '127.0.0.1', resolve));
	return `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
};

beforeEach(() => {
	dir = mkdtempSync(join(tmpdir(), 'limner-chores-'));
});
afterEach(async () => {
	await new Promise((resolve) => (hub === undefined ? resolve(undefined) : hub.close(resolve)));
	hub = undefined;
	rmSync(dir, { recursive: true, force: true });
});

const here = {
	name: 'here',
	dir: '/nowhere',
	sha256: 'a'.repeat(64),
	info: { name: 'here', sha256: 'a'.repeat(64), bytes: 7, operations: ['txt2img'] },
};

const choresOf = (over: Partial<ChoreParts> = {}): Chores =>
	new Chores({
		stores: [dir],
		mayPull: true,
		stateDir: dir,
		devices: () => [],
		engineName: 'mock',
		models: () => [here as unknown as StoredModel],
		onModel: () => undefined,
		env: { HF_ENDPOINT: 'http://127.0.0.1:1' },
		...over,
	});

const run = (chores: Chores, spec: Partial<JobSpec>, index = 0, signal = never) =>
	chores.run({ spec: { model: '', ...spec } as JobSpec, index }, () => undefined, signal);

describe('what a node offers besides pictures', () => {
	it('does not contain pulls and moves unless its owner allows them', () => {
		expect(choresOf().taskTypes).toEqual(['RESEARCH', 'HEARTBEAT', 'DISCOVERY', 'INGEST', 'MIGRATION']);
		expect(choresOf({ mayPull: false }).taskTypes).toEqual(['RESEARCH', 'HEARTBEAT', 'DISCOVERY']);
	});

	it.each(['GENERAL', 'RESEARCH', 'HEARTBEAT'] as const)('refuses %s, which needs a device', async (taskType) => {
		await expect(run(choresOf(), { taskType })).rejects.toThrow(ChoreError);
	});

	it('refuses a pull that its owner does not allow', async () => {
		await expect(run(choresOf({ mayPull: false }), { taskType: 'INGEST', params: { source: 'a/b' } })).rejects.toThrow(
			'does not do INGEST',
		);
	});
});

describe('a probe', () => {
	it('tells machine, disk, models and the model source', async () => {
		const endpoint = await startHub(200);
		const report = await run(choresOf({ env: { HF_ENDPOINT: endpoint } }), { taskType: 'DISCOVERY' });
		expect(report).toMatchObject({
			engine: 'mock',
			node: process.versions.node,
			models: [{ name: 'here', bytes: 7, operations: ['txt2img'] }],
			modelSource: { endpoint, status: 200 },
		});
		expect((report['disk'] as { freeBytes: number }).freeBytes).toBeGreaterThan(0);
	});

	it('takes a refusal of the source for an answer, and an error of it for none', async () => {
		const refusing = await startHub(403);
		expect(await run(choresOf({ env: { HF_ENDPOINT: refusing } }), { taskType: 'DISCOVERY' })).toMatchObject({
			modelSource: { status: 403 },
		});
		await new Promise((resolve) => hub?.close(resolve));
		const broken = await startHub(503);
		await expect(run(choresOf({ env: { HF_ENDPOINT: broken } }), { taskType: 'DISCOVERY' })).rejects.toThrow('HTTP 503');
	});

	it('fails for want of the source when nothing answers there, and needs no source when it is not asked for it', async () => {
		await expect(run(choresOf(), { taskType: 'DISCOVERY' })).rejects.toThrow(SourceError);
		expect(await run(choresOf(), { taskType: 'DISCOVERY', params: { modelSource: false } })).not.toHaveProperty('modelSource');
	});

	it('ends at once when it is cancelled', async () => {
		const abort = new AbortController();
		abort.abort(new Error('cancelled'));
		await expect(run(choresOf(), { taskType: 'DISCOVERY' }, 0, abort.signal)).rejects.toThrow('cancelled');
	});
});

describe('pulls and moves', () => {
	it('need to be told where the model comes from', async () => {
		await expect(run(choresOf(), { taskType: 'INGEST', model: 'x' })).rejects.toThrow('does not say where');
	});

	it('fetch nothing that is here already', async () => {
		const spec = { taskType: 'INGEST', model: 'here', params: { source: 'a/here', name: 'here' } } as const;
		expect(await run(choresOf(), spec)).toMatchObject({ model: 'here', bytes: 7, already: true });
	});

	it('fail for want of the source when it cannot be reached, whatever was asked for', async () => {
		await expect(run(choresOf(), { taskType: 'INGEST', model: 'x', params: { source: 'a/x' } })).rejects.toThrow(SourceError);
	});

	it('fail with the reason when the source answers and has no such model', async () => {
		const endpoint = await startHub(404);
		const failed = run(choresOf({ env: { HF_ENDPOINT: endpoint } }), { taskType: 'INGEST', model: 'x', params: { source: 'a/x' } });
		await expect(failed).rejects.not.toThrow(SourceError);
	});

	it('take away only what was pulled: what a person put there stays', async () => {
		await expect(run(choresOf(), { taskType: 'MIGRATION', model: 'here' }, 1)).rejects.toThrow('was not pulled by this node');
	});

	it('find nothing to take away where the model is not', async () => {
		expect(await run(choresOf(), { taskType: 'MIGRATION', model: 'gone' }, 1)).toMatchObject({ model: 'gone', removed: false });
	});
});

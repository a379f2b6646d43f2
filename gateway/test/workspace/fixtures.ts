import { env } from 'cloudflare:workers';
import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import type { JobSpec } from '@limner/shared';
import { sha256Hex } from '../../src/lib/canonical.ts';
import { CountedSql } from '../../src/lib/sql.ts';
import type { Settlement, SubmitInput, WorkspaceRpc } from '../../src/rpc.ts';
import { verifyLedger, type ChainCheck, type LedgerRow } from '../../src/workspace/ledger.ts';
import { ledgerFromSql, type LedgerSql } from '../../src/workspace/schema.ts';
import { Store } from '../../src/workspace/store.ts';

export const keyText = (ws: string): string => `lk_${ws}_key1_${'s'.repeat(52)}`;
export const keyHash = (ws: string): string => sha256Hex(keyText(ws));

export const stubOf = (ws: string) => env.WORKSPACE.getByName(ws);
export const rpcOf = (ws: string): WorkspaceRpc => stubOf(ws);

/** Makes a workspace that has one key, and starts its object afresh. */
export const makeWorkspace = async (ws: string, scopes: string[] = ['jobs:write'], homeShard = 0): Promise<WorkspaceRpc> => {
	await runInDurableObject(stubOf(ws), (_instance, state) => {
		const store = new Store(state.storage, new CountedSql(state.storage.sql), Date.now(), { ws, homeShard });
		store.insertKey({ id: 'key1', hash: keyHash(ws), scopes, createdAt: Date.now(), expiresAt: null, revokedAt: null }, Date.now());
	});
	await evictDurableObject(stubOf(ws));
	return rpcOf(ws);
};

export const spec = (over: Partial<JobSpec> = {}): JobSpec => ({
	task: 'txt2img',
	model: 'storybook',
	prompt: 'a fox',
	negativePrompt: null,
	width: 64,
	height: 64,
	steps: 4,
	guidance: 1,
	scheduler: 'euler',
	seed: 7,
	n: 1,
	pasteBack: true,
	class: 'interactive',
	priority: 5,
	deadlineAt: Date.now() + 3_600_000,
	...over,
});

export const submission = (ws: string, over: Partial<SubmitInput> = {}): SubmitInput => ({
	keyId: 'key1',
	keyHash: keyHash(ws),
	spec: spec(),
	warnings: [],
	traceId: 'a'.repeat(32),
	...over,
});

export const picture = (ws: string, jobId: string, index = 0, epoch = 1) => ({
	index,
	key: `w/${ws}/${jobId}/${index}/${epoch}-${'a'.repeat(32)}.png`,
	epoch,
	nodeId: 'node_1',
	contentType: 'image/png',
	bytes: 10,
	sha256: 'a'.repeat(64),
	width: 64,
	height: 64,
	seed: 7 + index,
	at: Date.now(),
});

export const settlement = (ws: string, jobId: string, over: Partial<Settlement> = {}): Settlement => ({
	ws,
	jobId,
	state: 'succeeded',
	images: [picture(ws, jobId)],
	hist: [{ rev: 1, at: Date.now(), type: 'succeeded', who: 'pool' }],
	usage: { images: 1, megapixelSteps: 0.016 },
	startedAt: Date.now(),
	finishedAt: Date.now(),
	warnings: [],
	...over,
});

export const mustSubmit = async (ws: string, over: Partial<SubmitInput> = {}): Promise<string> => {
	const answer = await rpcOf(ws).submit(ws, submission(ws, over));
	if (!answer.ok) throw new Error(`${answer.code} ${answer.detail ?? ''}`);
	return answer.row.id;
};

export const ledgerOf = (ws: string): Promise<LedgerRow[]> =>
	runInDurableObject(stubOf(ws), (_instance, state) =>
		state.storage.sql.exec<LedgerSql>('SELECT * FROM ledger ORDER BY seq').toArray().map(ledgerFromSql),
	);

export const chainOf = async (ws: string): Promise<ChainCheck> => verifyLedger(await ledgerOf(ws));

export const count = (ws: string, table: string): Promise<number> =>
	runInDurableObject(stubOf(ws), (_instance, state) => state.storage.sql.exec<{ n: number }>(`SELECT count(*) AS n FROM ${table}`).one().n);

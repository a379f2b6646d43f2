/**
 * The routes of pictures over the real Workspace, Pool and bucket.
 * @module
 */
import { createHash } from 'node:crypto';
import { env } from 'cloudflare:workers';
import type { GatewayFrame, ResultTicket } from '@limner/shared';
import { newIdentity, startNode, type TestNode } from '../pool/harness.ts';
import { keyText, makeWorkspace, mustSubmit, rpcOf, spec } from '../workspace/fixtures.ts';
import { createApp } from '../../src/app.ts';
import { verifyClaims } from '../../src/lib/sign.ts';
import { poolOf } from '../../src/lib/stubs.ts';

const app = createApp();

export const call = async (path: string, init: RequestInit = {}): Promise<Response> => app.request(`http://limner.test${path}`, init, env);

/** A call with the workspace's key. */
export const callAs = (ws: string, path: string, init: RequestInit = {}): Promise<Response> => {
	const headers = new Headers(init.headers);
	headers.set('authorization', `Bearer ${keyText(ws)}`);
	return call(path, { ...init, headers });
};

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** A body that comes in pieces, and fails after `failAfter` bytes. */
export const inPieces = (body: Uint8Array, pieceBytes: number, failAfter = Infinity): ReadableStream<Uint8Array> => {
	let at = 0;
	return new ReadableStream<Uint8Array>({
		pull: (controller) => {
			if (at >= failAfter) return controller.error(new Error('connection lost'));
			if (at >= body.length) return controller.close();
			controller.enqueue(body.slice(at, at + pieceBytes));
			at += pieceBytes;
			return undefined;
		},
	});
};

/** Sends a result whole, or `pieceBytes` at a time. */
export const putResult = (ticket: string, body: Uint8Array, headers: Record<string, string> = {}, pieceBytes?: number): Promise<Response> =>
	call(`/api/v1/results/${ticket}`, {
		method: 'PUT',
		body: pieceBytes === undefined ? body : inPieces(body, pieceBytes),
		headers: { 'content-type': 'image/png', 'content-length': String(body.length), 'x-content-sha256': sha256(body), ...headers },
	});

/** Keys in the bucket under a prefix. */
export const stored = async (prefix = ''): Promise<string[]> => (await env.PICTURES.list({ prefix })).objects.map(({ key }) => key);

/** Status and body of a refusal. */
export const problemOf = async (response: Response): Promise<{ status: number; code: string; detail: string }> => {
	const { code, detail } = await response.json<{ code: string; detail: string }>();
	return { status: response.status, code, detail };
};

let names = 0;
export const SCOPES = ['jobs:write', 'images:read', 'images:write'];
export const newWorkspace = async (scopes: string[] = SCOPES): Promise<string> => {
	const ws = `ws${++names}`;
	await makeWorkspace(ws, scopes);
	return ws;
};

export type Task = Extract<GatewayFrame, { t: 'task' }>;
export interface Granted {
	ws: string;
	jobId: string;
	node: TestNode;
	task: Task;
	claims: ResultTicket;
}

export const claimsOf = (ticket: string): ResultTicket => {
	const verified = verifyClaims(env.LIMNER_SECRET, 'result', ticket, Date.now());
	if (!verified.ok) throw new Error(verified.why);
	return verified.claims;
};

/** A job of a fresh workspace, granted to a node of that workspace. */
export const grant = async (n = 1): Promise<Granted> => {
	const ws = await newWorkspace();
	const identity = await newIdentity(ws);
	const pool = poolOf(env, 0);
	const node = await startNode(pool, {}, identity);
	const jobId = await mustSubmit(ws, { spec: spec({ n }) });
	const row = await rpcOf(ws).getJob(jobId);
	if (row === null) throw new Error('no row');
	const answer = await pool.enqueue(
		{ id: jobId, ws, weight: 1, spec: row.spec, createdAt: row.createdAt, warnings: [], keyId: 'key1' },
		Date.now() + 60_000,
	);
	if (!answer.ok) throw new Error(answer.detail);
	const task = await node.frame('task');
	node.ack(task);
	return { ws, jobId, node, task, claims: claimsOf(task.ticket) };
};

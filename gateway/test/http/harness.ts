/**
 * A caller, as it looks from outside: requests against the whole Worker, with the bootstrap key of `vitest.config.ts`.
 */
import { env, exports } from 'cloudflare:workers';
import { runInDurableObject } from 'cloudflare:test';
import { poolName, type JobView, type ProblemDetails } from '@limner/shared';
import { newIdentity, TestNode, until, type HelloOptions, type Identity, type PoolStub } from '../pool/harness.ts';

export const WS = 'test';
export const KEY = `lk_${WS}_boot_0123456789abcdef0123456789abcdef`;
const BASE = 'https://limner.example';

export interface CallOptions {
	method?: string;
	key?: string | null;
	headers?: Record<string, string>;
	json?: unknown;
	body?: BodyInit;
	signal?: AbortSignal;
}

/** A request as a client would make it. */
export const call = (path: string, options: CallOptions = {}): Promise<Response> => {
	const { key = KEY, json, body = json === undefined ? undefined : JSON.stringify(json) } = options;
	const headers = new Headers(options.headers);
	if (key !== null) headers.set('authorization', `Bearer ${key}`);
	if (json !== undefined) headers.set('content-type', 'application/json');
	const method = options.method ?? (body === undefined ? 'GET' : 'POST');
	return exports.default.fetch(
		new Request(`${BASE}${path}`, {
			method,
			headers,
			...(body === undefined ? {} : { body }),
			...(options.signal === undefined ? {} : { signal: options.signal }),
		}),
	);
};

export const problemOf = async (response: Response): Promise<ProblemDetails> => response.json();
export const viewOf = async (response: Response): Promise<JobView> => response.json();

export const submit = async (json: object = {}, path = '/api/v1/jobs', headers: Record<string, string> = {}): Promise<JobView> => {
	const response = await call(path, { json: { prompt: 'a red castle', ...json }, headers });
	if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
	return viewOf(response);
};

export const pool = (): PoolStub => env.POOL.getByName(poolName(env.REGION, 0));

/** Rows of one table of the workspace, read from its database. */
export const countRows = (table: string): Promise<number> =>
	runInDurableObject(
		env.WORKSPACE.getByName(WS),
		(_instance, state) => state.storage.sql.exec<{ c: number }>(`SELECT count(*) AS c FROM ${table}`).one().c,
	);

/** Adds a key with the given scopes to the workspace. */
export const addKey = async (id: string, scopes: string[]): Promise<string> => {
	const key = `lk_${WS}_${id}_0123456789abcdef0123456789abcdef`;
	const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(key));
	const hash = Buffer.from(digest).toString('hex');
	await runInDurableObject(env.WORKSPACE.getByName(WS), (_instance, state) => {
		state.storage.sql.exec(
			'INSERT INTO keys (id, hash, scopes, created_at, expires_at, revoked_at) VALUES (?, ?, ?, ?, NULL, NULL)',
			id,
			hash,
			JSON.stringify(scopes),
			Date.now(),
		);
	});
	return key;
};

export interface Enrolled {
	nodeId: string;
	certificate: string;
	shard: number;
	gatewayTime: string;
}

/** A join token through the API, and a node enrolled with it. */
export const enrol = async (): Promise<{ identity: Identity; enrolled: Enrolled; token: string }> => {
	const made = await (await call('/api/v1/join-tokens', { json: {} })).json<{ token: string }>();
	const identity = await newIdentity(WS);
	const response = await call('/api/v1/nodes', { key: null, json: { token: made.token, publicKey: identity.publicKey, name: 'tester' } });
	const enrolled = await response.json<Enrolled>();
	return { identity: { ...identity, id: enrolled.nodeId }, enrolled, token: made.token };
};

export const connectHeaders = (certificate: string): Record<string, string> => ({
	upgrade: 'websocket',
	'sec-websocket-protocol': 'limner.v1',
	authorization: `Bearer ${certificate}`,
});

const nodes = new Set<TestNode>();

/** Leaves the pool as it was before the test: no open job, no connected node. */
export const cleanUp = async (): Promise<void> => {
	for (const state of ['queued', 'running']) {
		const { data } = await (await call(`/api/v1/jobs?limit=200&state=${state}`)).json<{ data: { id: string }[] }>();
		await Promise.all(data.map(({ id }) => call(`/api/v1/jobs/${id}/cancel`, { method: 'POST' }).then((response) => response.text())));
	}
	for (const node of nodes) node.ws.close(1000, 'test over');
	nodes.clear();
	await until(async () => (await pool().metrics()).nodesOnline === 0, 'all nodes gone');
};

/** A node that came in through the front door. */
export const joinNode = async (options: HelloOptions = {}): Promise<TestNode> => {
	const { identity, enrolled } = await enrol();
	const response = await call('/api/v1/nodes/connect', { key: null, headers: connectHeaders(enrolled.certificate) });
	if (response.webSocket === null) throw new Error(`no socket: ${response.status} ${await response.text()}`);
	const node = new TestNode(identity, response.webSocket);
	nodes.add(node);
	await node.hello(options);
	return node;
};

export interface SseEvent {
	id?: number;
	event?: string;
	data?: unknown;
	comment?: string;
}

const parse = (block: string): SseEvent => {
	const out: SseEvent = {};
	for (const line of block.split('\n')) {
		const at = line.indexOf(':');
		const [field, value] = [line.slice(0, at), line.slice(at + 1).trimStart()];
		if (field === 'id') out.id = Number(value);
		else if (field === 'event') out.event = value;
		else if (field === 'data') out.data = JSON.parse(value);
		else if (field === '') out.comment = value;
	}
	return out;
};

/** Reads an event stream to its end. */
export async function* eventsOf(response: Response): AsyncGenerator<SseEvent> {
	let rest = '';
	for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
		const blocks = (rest + chunk).split('\n\n');
		rest = blocks.pop() ?? '';
		for (const block of blocks) {
			const event = parse(block);
			if (event.event !== undefined) yield event;
		}
	}
}

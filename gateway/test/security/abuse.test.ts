/**
 * What somebody would try who holds a real credential: rights in bodies, tickets and signatures of other times and places.
 */
import { describe, expect, it, beforeAll, afterEach } from 'vitest';
import { helloMessage } from '@limner/shared';
import { env } from 'cloudflare:workers';
import { signClaims } from '../../src/lib/sign.ts';
import { call, cleanUp, connectHeaders, enrol, joinNode, KEY, submit } from '../http/harness.ts';
import { TestNode } from '../pool/harness.ts';
import { makePng } from '../storage/pictures.ts';
import { sha256 } from '../storage/harness.ts';
import { readOperations, send } from './operations.ts';
import { newFullTenant, RECIPES, type Tenant } from './recipes.ts';

let tenant: Tenant;
let other: Tenant;
beforeAll(async () => {
	tenant = await newFullTenant();
	other = await newFullTenant();
});
afterEach(cleanUp);

/** What a body must not be able to set. */
const RIGHTS = (victim: string): Record<string, unknown> => ({
	ws: victim,
	workspace: victim,
	isAdmin: true,
	operator: true,
	owner: true,
	accountId: 'acc_other',
	keyId: 'other',
	usage: { images: -1000 },
	state: 'succeeded',
	trust: 'own',
	weight: 1000,
	createdAt: 0,
	hash: 'x',
});
const NATIVE = readOperations().filter(({ id, json, path }) => json && path.startsWith('/api/v1/') && id in RECIPES);

describe('mass assignment', () => {
	it.each(NATIVE.map((operation) => [operation.id, operation] as const))(
		'%s takes no field that it does not know',
		async (id, operation) => {
			const recipe = (await RECIPES[id]?.(tenant)) ?? {};
			const named = operation.scope === 'operator' ? KEY : tenant.key;
			const as = recipe.as === 'operator' ? KEY : recipe.as === undefined ? named : recipe.as;
			const known = new Set(Object.keys((recipe.json as object | undefined) ?? {}));
			for (const [name, value] of Object.entries(RIGHTS(other.ws))) {
				// Some operations have a field of that name, for their own kind of value.
				if (known.has(name) || (id === 'createJoinToken' && name === 'trust')) continue;
				const { status, body } = await send(operation, as, { ...recipe, json: { ...(recipe.json as object | undefined), [name]: value } });
				expect(`${name}: ${status} ${body.slice(0, 80)}`).toMatch(/: 4\d\d /);
			}
		},
	);
});

const upload = (ticket: string, bytes: Uint8Array): Promise<Response> =>
	call(`/api/v1/results/${ticket}`, {
		method: 'PUT',
		key: null,
		body: bytes as unknown as BodyInit,
		headers: { 'content-type': 'image/png', 'content-length': String(bytes.length), 'x-content-sha256': sha256(bytes) },
	});
const changed = (ticket: string, change: (claims: Record<string, unknown>) => void): string => {
	const [body = '', signature = ''] = ticket.split('.');
	const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as Record<string, unknown>;
	change(claims);
	return `${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${signature}`;
};

describe('tickets', () => {
	it('of one task do not finish another, and are not made from one another', async () => {
		const node = await joinNode({ slots: 2 });
		const [first, second] = [await submit({ width: 64, height: 64 }), await submit({ width: 64, height: 64 })];
		const tasks = [await node.frame('task'), await node.frame('task')];
		for (const task of tasks) node.ack(task);
		const mine = tasks.find(({ jobId }) => jobId === first.id)!;
		const theirs = tasks.find(({ jobId }) => jobId === second.id)!;
		const picture = makePng({ width: 64, height: 64 });
		// The claims of the other task under the signature of this one.
		const forged = `${theirs.ticket.split('.')[0]}.${mine.ticket.split('.')[1]}`;
		expect((await upload(forged, picture)).status).toBe(401);
		for (const change of [{ job: second.id }, { i: 1 }, { e: 2 }, { ws: other.ws }, { node: 'node_other' }]) {
			expect(
				(
					await upload(
						changed(mine.ticket, (claims) => Object.assign(claims, change)),
						picture,
					)
				).status,
			).toBe(401);
		}
		const accepted = await upload(mine.ticket, picture);
		expect(accepted.status).toBe(200);
		await accepted.text();
		const states = await Promise.all(
			[first, second].map(async ({ id }) => (await (await call(`/api/v1/jobs/${id}`)).json<{ state: string }>()).state),
		);
		expect(states).toEqual(['succeeded', 'running']);
		// Used again with other bytes, it changes nothing.
		expect((await upload(mine.ticket, makePng({ width: 64, height: 64, idatBytes: 100 }))).status).toBeGreaterThanOrEqual(200);
		const { images } = await (await call(`/api/v1/jobs/${first.id}`)).json<{ images: { sha256: string }[] }>();
		expect(images.map((image) => image.sha256)).toEqual([sha256(picture)]);
	});

	it('of one kind are not good for another', async () => {
		const exp = Date.now() + 60_000;
		const object = signClaims(env.LIMNER_SECRET, { k: 'object', ws: other.ws, key: 'w/x', ct: 'image/png', exp });
		const picture = makePng({ width: 8, height: 8 });
		expect((await upload(object, picture)).status).toBe(401);
		const node = await joinNode();
		const { id } = await submit({ width: 64, height: 64 });
		const task = await node.frame('task');
		expect((await call(`/api/v1/objects/${task.ticket}`, { key: null })).status).toBe(401);
		expect((await call(`/api/v1/jobs/${id}/events?ticket=${task.ticket}`, { key: null })).status).toBe(401);
		expect((await call('/api/v1/jobs', { key: task.ticket })).status).toBe(401);
	});
});

const connect = async (certificate: string): Promise<WebSocket> => {
	const { webSocket } = await call('/api/v1/nodes/connect', { key: null, headers: connectHeaders(certificate) });
	if (webSocket === null) throw new Error('no socket');
	return webSocket;
};

describe('the challenge of nodes', () => {
	it('is not answered by what answered an earlier one', async () => {
		const { identity, enrolled } = await enrol();
		let heard = '';
		const sign = async (text: string): Promise<string> => {
			const bytes = await crypto.subtle.sign('Ed25519', identity.keys.privateKey, new TextEncoder().encode(text));
			heard = Buffer.from(bytes).toString('base64url');
			return heard;
		};
		const first = new TestNode(identity, await connect(enrolled.certificate));
		await first.hello({ sign });
		const second = new TestNode(identity, await connect(enrolled.certificate));
		void second.hello({ sign: async () => heard }).catch(() => undefined);
		expect((await second.closed).code).toBe(4401);
		// The right signature over another node's id, or another connection's.
		const third = new TestNode(identity, await connect(enrolled.certificate));
		void third.hello({ sign: () => sign(helloMessage('0'.repeat(43), identity.id, first.connId)) }).catch(() => undefined);
		expect((await third.closed).code).toBe(4401);
		first.ws.close(1000, 'test over');
	});
});

describe('headers', () => {
	it.each(['a\tb', '"><script>alert(1)</script>', 'x'.repeat(5000), '%0d%0aSet-Cookie: a=b'])(
		'X-Request-Id %j is not repeated',
		async (id) => {
			const response = await call('/health', { key: null, headers: { 'x-request-id': id } });
			await response.text();
			expect(response.headers.get('x-request-id')).not.toBe(id);
			expect(response.headers.get('set-cookie')).toBeNull();
		},
	);

	it('are not made by names and labels', async () => {
		const { id } = await submit({ prompt: 'a\r\nSet-Cookie: a=b', labels: ['x', 'y\\r\\nX-Evil: 1'] });
		const response = await call(`/api/v1/jobs/${id}`);
		await response.text();
		expect([...response.headers.keys()]).not.toContain('x-evil');
		expect(response.headers.get('set-cookie')).toBeNull();
	});
});

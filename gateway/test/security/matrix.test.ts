/**
 * Every operation of the OpenAPI document × happy, edge, error, security. The operations come from the document, so that
 * a new one without a recipe, or without a refusal, fails here.
 */
import { SCOPES } from '@limner/shared';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { call, KEY } from '../http/harness.ts';
import { ask, withVar } from '../tenancy/harness.ts';
import { fill, readOperations, send, type Operation } from './operations.ts';
import { MACHINE_RECIPES } from './recipes-machines.ts';
import { PICTURE_RECIPES } from './recipes-pictures.ts';
import { newFullTenant, RECIPES as PLAIN_RECIPES, type Make, type Recipe, type Tenant } from './recipes.ts';

const OPERATIONS = readOperations();
const RECIPES: Record<string, Make> = { ...PLAIN_RECIPES, ...MACHINE_RECIPES, ...PICTURE_RECIPES };
const SECURED = OPERATIONS.filter(({ scope }) => scope !== undefined);
const isDialect = ({ path }: Operation): boolean => !path.startsWith('/api/v1/');
const cells = new Map<string, Set<string>>();
const mark = ({ id }: Operation, cell: string): void => {
	cells.set(id, (cells.get(id) ?? new Set()).add(cell));
};

let tenant: Tenant;
let other: Tenant;
/** Gets what is strange, so that it may be broken. */
let spare: Tenant;
/** Keys of the tenant by scope. */
const keys = new Map<string, string>();
beforeAll(async () => {
	// Webhooks and hooks are answered well.
	vi.spyOn(globalThis, 'fetch').mockImplementation(() => Promise.resolve(new Response('{}')));
	tenant = await newFullTenant();
	other = await newFullTenant();
	spare = await newFullTenant();
	for (const scope of SCOPES) keys.set(scope, (await ask('POST', '/keys', tenant.token, { name: scope, scopes: [scope] })).body.key);
});

/** A key that may do nothing that the operation needs. */
const narrowFor = ({ scope }: Operation): string => keys.get(scope === 'jobs:read' ? 'images:read' : 'jobs:read') ?? '';
const wrongKey = (): string => `${tenant.key.slice(0, -8)}00000000`;

describe('security', () => {
	it.each(SECURED.map((operation) => [operation.id, operation] as const))(
		'%s refuses nobody, a wrong key and a narrow key',
		async (_id, operation) => {
			const nobody = await send(operation, null);
			const wrong = await send(operation, wrongKey());
			const narrow = await send(operation, narrowFor(operation));
			expect([nobody.status, wrong.status, narrow.status]).toEqual([401, 401, 403]);
			expect(narrow.body).toContain(isDialect(operation) ? '' : 'forbidden');
			mark(operation, 'security');
		},
	);

	it.each(OPERATIONS.filter(({ certificate }) => certificate).map((operation) => [operation.id, operation] as const))(
		'%s refuses nobody, an API key and a certificate that was changed',
		async (_id, operation) => {
			const headers = operation.id === 'connectNode' ? { upgrade: 'websocket', 'sec-websocket-protocol': 'limner.v1' } : {};
			const body = operation.json ? { json: {} } : {};
			for (const credential of [null, tenant.key, 'eyJrIjoibm9kZSJ9.AAAA']) {
				expect((await send(operation, credential, { headers, ...body })).status).toBe(401);
			}
			mark(operation, 'security');
		},
	);

	it.each(
		OPERATIONS.filter(({ scope, certificate }) => scope === undefined && !certificate).map(
			(operation) => [operation.id, operation] as const,
		),
	)('%s is public and gives nothing away for a made-up right', async (_id, operation) => {
		const json = { json: { token: 'x', refreshToken: 'x', invitation: 'x', grant: 'key', key: 'x' } };
		const answer = await send(operation, null, operation.json ? json : {});
		const open = ['health', 'ready', 'jwks', 'kserveServer', 'kserveLive', 'kserveReady', 'cogHealth'].includes(operation.id);
		expect(open ? [200] : [400, 401, 403, 404, 410, 411, 415, 422]).toContain(answer.status);
		mark(operation, 'security');
	});
});

describe('errors', () => {
	it.each(OPERATIONS.filter(({ json, scope }) => json && scope !== undefined).map((operation) => [operation.id, operation] as const))(
		'%s refuses what is no JSON, broken, deep, large and unknown',
		async (_id, operation) => {
			const key = operation.scope === 'account' ? spare.token : operation.scope === 'operator' ? KEY : spare.key;
			const json = { 'content-type': 'application/json' };
			const text = (body: string): Recipe => ({ body: new TextEncoder().encode(body), headers: json });
			const statuses = [
				await send(operation, key, { body: new Uint8Array(3), headers: { 'content-type': 'text/plain' } }),
				await send(operation, key, text('{"a":')),
				await send(operation, key, text(`${'['.repeat(5000)}${']'.repeat(5000)}`)),
				await send(operation, key, text(`{"a":"${'x'.repeat(40 * 1024 * 1024)}"}`)),
				await send(operation, key, text('{"__proto__":{"admin":true},"constructor":1,"isAdmin":true}')),
			].map(({ status }) => status);
			// Dialects of others ignore what they do not know, as their clients expect.
			expect(statuses.slice(0, isDialect(operation) ? 4 : 5).filter((status) => status < 400 || status >= 500)).toEqual([]);
			mark(operation, 'error');
		},
		60_000,
	);

	it.each(OPERATIONS.map((operation) => [operation.id, operation] as const))(
		'%s refuses another method, naming those that work',
		async (_id, operation) => {
			const response = await call(fill(operation.path), { method: 'PROPFIND', key: spare.key });
			await response.text();
			expect(response.status).toBe(405);
			expect(response.headers.get('allow')).toContain(operation.method);
			mark(operation, 'error');
		},
	);
});

const HOSTILE_IDS = [
	'..%2f',
	'../../etc/passwd',
	'%2e%2e%2f',
	'x'.repeat(4000),
	'job_',
	"' OR 1=1 --",
	'\u0000',
	'\r\nX-Evil: 1',
	'💥',
	'__proto__',
	'constructor',
];

/** A workspace that is being restored takes no jobs, so restoring has one of its own. */
const strangeKey = async ({ id }: Operation): Promise<string> => (id === 'beginRestore' ? (await newFullTenant()).key : spare.key);

describe('edges', () => {
	it.each(OPERATIONS.filter(({ params }) => params.length > 0).map((operation) => [operation.id, operation] as const))(
		'%s answers 4xx for ids that cannot be',
		async (_id, operation) => {
			const key = operation.scope === 'account' ? spare.token : operation.scope === 'operator' ? KEY : await strangeKey(operation);
			const seen: string[] = [];
			for (const id of HOSTILE_IDS) {
				const params = Object.fromEntries(operation.params.map((name) => [name, id]));
				const { status, body } = await send(operation, key, { params, ...(operation.json ? { json: {} } : {}) });
				if (status < 400 || status >= 500) seen.push(`${status} for ${JSON.stringify(id.slice(0, 20))}: ${body.slice(0, 100)}`);
			}
			expect(seen).toEqual([]);
			mark(operation, 'edge');
		},
	);

	it.each(OPERATIONS.filter(({ params }) => params.length === 0).map((operation) => [operation.id, operation] as const))(
		'%s stays itself with strange queries and headers',
		async (_id, operation) => {
			const key = operation.scope === 'account' ? spare.token : operation.scope === 'operator' ? KEY : await strangeKey(operation);
			for (const query of ['?limit=-1', '?limit=1e999', '?cursor=%00', '?a[b]=c&a[b]=d', `?q=${'x'.repeat(8000)}`, '?__proto__[x]=1']) {
				const headers = {
					'x-request-id': '"><script>',
					traceparent: '00-zz-zz-00',
					'x-forwarded-for': '127.0.0.1',
					'x-limner-certificate': '{}',
				};
				const { status } = await send(operation, key, {
					query,
					headers,
					...(operation.json ? { json: isDialect(operation) ? [] : {} } : {}),
				});
				expect(status, `${operation.id} ${query.slice(0, 20)}`).toBeLessThan(500);
			}
			mark(operation, 'edge');
		},
	);
});

/** With a recipe's settings for the time of its request. */
const withVars = async <T>(vars: Record<string, string>, run: () => Promise<T>): Promise<T> =>
	Object.entries(vars).reduceRight<() => Promise<T>>(
		(inner, [name, value]) =>
			() =>
				withVar(name, value, inner),
		run,
	)();

describe('happy', () => {
	it.each(OPERATIONS.filter(({ id }) => id in RECIPES).map((operation) => [operation.id, operation] as const))(
		'%s answers 2xx to exactly the scope that it names',
		async (_id, operation) => {
			// One that is deleted must not be the one that others use.
			const mine = ['deleteWorkspace', 'resetPassword', 'revokeToken', 'endSession'].includes(operation.id)
				? await newFullTenant()
				: tenant;
			const recipe = (await RECIPES[operation.id]?.(mine)) ?? {};
			const named = operation.scope === 'operator' ? KEY : (keys.get(operation.scope ?? '') ?? null);
			const as = recipe.as === 'operator' ? KEY : recipe.as === undefined ? named : recipe.as;
			const { status, body } = await withVars(recipe.vars ?? {}, () => send(operation, as, recipe));
			expect(`${status} ${status < 300 ? '' : body}`).toMatch(operation.id === 'connectNode' ? /^101 $/ : /^2\d\d $/);
			expect(operation.statuses).toContain(String(status));
			mark(operation, 'happy');
		},
	);
});

describe('another workspace', () => {
	it.each(
		SECURED.filter(({ params, scope }) => params.length > 0 && scope !== 'operator' && scope !== 'account').map(
			(operation) => [operation.id, operation] as const,
		),
	)('%s answers 404 for its ids', async (_id, operation) => {
		const recipe = (await RECIPES[operation.id]?.(other)) ?? {};
		if (recipe.params === undefined || recipe.everybodys === true || operation.id === 'deleteWorkspace') return;
		const { status, body } = await send(operation, tenant.key, recipe);
		expect(status).toBe(404);
		expect(body).not.toContain(other.email);
	});
});

afterAll(() => {
	const empty = OPERATIONS.flatMap(({ id }) =>
		['happy', 'edge', 'error', 'security'].filter((cell) => !(cells.get(id)?.has(cell) ?? false)).map((cell) => `${id}: ${cell}`),
	);
	if (empty.length > 0) throw new Error(`operations without a test:\n${empty.join('\n')}`);
});

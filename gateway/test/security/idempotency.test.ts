/**
 * `Idempotency-Key` on every unsafe operation of the OpenAPI document that takes a key: a repeat has no second effect.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, KEY } from '../http/harness.ts';
import { fill, readOperations, type Operation } from './operations.ts';
import { newFullTenant, RECIPES, type Recipe, type Tenant } from './recipes.ts';

const UNSAFE = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);
const OPERATIONS = readOperations().filter(
	({ method, path, scope }) => UNSAFE.has(method) && path.startsWith('/api/v1/') && scope !== undefined,
);
/** All duplicates of these get the same 202, while the first is worked on and afterwards. */
const SUBMITS = new Set(['submitJob', 'submitPoolTask', 'submitWorkflow', 'retryJob']);
/** They take the workspace or the caller away, and with it the place where answers are kept. */
const ENDS = new Set(['deleteWorkspace', 'deleteAccount', 'endSession']);
/** Of no workspace, or with a body that is read only once: told by its digest, see storage/assets. */
const BYTES = new Set(['createAsset']);

let shared: Tenant;
beforeAll(async () => {
	shared = await newFullTenant();
});

/** They change what the tests after them need: done by a tenant of their own. */
const ALONE = new Set(['setWorkspaceLimits', 'transferOwnership', 'beginRestore', 'shutdownPool']);

const whoAsks = ({ scope }: Operation, recipe: Recipe, tenant: Tenant): string | null => {
	if (recipe.as === 'operator' || scope === 'operator') return KEY;
	return recipe.as ?? (scope === 'account' ? tenant.token : tenant.key);
};

interface Seen {
	status: number;
	body: string;
	replayed: boolean;
	retryAfter: string | null;
}
const ask = async (tenant: Tenant, operation: Operation, recipe: Recipe, key: string, json: unknown = recipe.json): Promise<Seen> => {
	const response = await call(`${fill(operation.path, recipe.params)}${recipe.query ?? ''}`, {
		method: operation.method,
		key: whoAsks(operation, recipe, tenant),
		headers: { 'cf-connecting-ip': '10.77.1.1', ...recipe.headers, 'idempotency-key': key },
		...(json === undefined ? {} : { json }),
		...(recipe.body === undefined ? {} : { body: recipe.body as BodyInit }),
	});
	const { headers, status } = response;
	return {
		status,
		body: await response.text(),
		replayed: headers.get('idempotency-replayed') === 'true',
		retryAfter: headers.get('retry-after'),
	};
};

/** The same object with its keys the other way round. */
const turned = (value: unknown): unknown =>
	typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).toReversed()) : value;

const tried = new Set<string>();
const REPEATED = OPERATIONS.filter(({ id }) => id in RECIPES && !ENDS.has(id) && !BYTES.has(id));
let count = 0;

describe('Idempotency-Key', () => {
	it.each(REPEATED.filter(({ id }) => !SUBMITS.has(id)).map((operation) => [operation.id, operation] as const))(
		'%s has its effect once: 409 with Retry-After meanwhile, the same answer afterwards',
		async (id, operation) => {
			const tenant = ALONE.has(id) ? await newFullTenant() : shared;
			const recipe = (await RECIPES[id]?.(tenant)) ?? {};
			const key = `once-${count++}`;
			const together = await Promise.all([ask(tenant, operation, recipe, key), ask(tenant, operation, recipe, key)]);
			const first = together.find(({ status, replayed }) => status < 300 && !replayed);
			expect(
				together.filter(({ status, replayed }) => status < 300 && !replayed),
				JSON.stringify(together),
			).toHaveLength(1);
			// The other one was either too early for the answer, or got it.
			const rest = together.filter((answer) => answer !== first);
			expect(rest.every(({ status, retryAfter, replayed }) => replayed || (status === 409 && retryAfter !== null))).toBe(true);
			const again = await ask(tenant, operation, recipe, key, turned(recipe.json));
			expect([again.status, again.body, again.replayed]).toEqual([first?.status, first?.body, true]);
			tried.add(id);
		},
	);

	it.each(REPEATED.filter(({ id }) => SUBMITS.has(id)).map((operation) => [operation.id, operation] as const))(
		'%s answers all duplicates with the same job',
		async (id, operation) => {
			const tenant = ALONE.has(id) ? await newFullTenant() : shared;
			const recipe = (await RECIPES[id]?.(tenant)) ?? {};
			const key = `same-${count++}`;
			const together = await Promise.all(Array.from({ length: 5 }, () => ask(tenant, operation, recipe, key)));
			expect(together.map(({ status }) => status)).toEqual(Array.from({ length: 5 }, () => 202));
			expect(new Set(together.map(({ body }) => (JSON.parse(body) as { id: string }).id)).size).toBe(1);
			expect(together.filter(({ replayed }) => replayed)).toHaveLength(4);
			expect((await ask(tenant, operation, recipe, key, turned(recipe.json))).status).toBe(202);
			tried.add(id);
		},
	);

	it.each(REPEATED.filter(({ json }) => json).map((operation) => [operation.id, operation] as const))(
		'%s refuses the key of another body',
		async (id, operation) => {
			const tenant = ALONE.has(id) ? await newFullTenant() : shared;
			const recipe = (await RECIPES[id]?.(tenant)) ?? {};
			const key = `other-${count++}`;
			expect((await ask(tenant, operation, recipe, key)).status).toBeLessThan(300);
			const changed = Object.fromEntries(
				Object.entries({ ...(recipe.json as object) }).map(([name, value]) => [name, typeof value === 'string' ? `${value} ` : value]),
			);
			const second = await ask(tenant, operation, recipe, key, { ...changed, note: 'another body' });
			expect(second.status).toBe(422);
			expect(second.body).toMatch(/idempotency_mismatch|validation_failed/);
		},
	);

	it.each(OPERATIONS.map((operation) => [operation.id, operation] as const))('%s refuses a key that is none', async (_id, operation) => {
		const made = operation.json ? { json: {} } : {};
		const answer = await ask(shared, operation, { params: {}, ...made }, 'x'.repeat(256));
		// Ids and bodies that cannot be are refused as such, before or after the header.
		expect(answer.status).toBeGreaterThanOrEqual(400);
		expect(answer.status).toBeLessThan(500);
	});
});

afterAll(() => {
	const missing = REPEATED.filter(({ id }) => !tried.has(id)).map(({ id }) => id);
	if (missing.length > 0) throw new Error(`operations that were not repeated: ${missing.join(', ')}`);
});

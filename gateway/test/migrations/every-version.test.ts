import { env } from 'cloudflare:workers';
import { runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { ACCOUNT_MIGRATIONS } from '../../src/account/schema.ts';
import { DELIVERY_MIGRATIONS } from '../../src/delivery/store.ts';
import { migrate, migrationHash, type Migration } from '../../src/lib/migrations.ts';
import { POOL_MIGRATIONS } from '../../src/pool/store.ts';
import { REGISTRY_MIGRATIONS } from '../../src/registry/schema.ts';
import { WORKSPACE_MIGRATIONS } from '../../src/workspace/schema.ts';
import released from './released.json';

const LISTS: Record<string, readonly Migration[]> = {
	Account: ACCOUNT_MIGRATIONS,
	Delivery: DELIVERY_MIGRATIONS,
	Pool: POOL_MIGRATIONS,
	Registry: REGISTRY_MIGRATIONS,
	Workspace: WORKSPACE_MIGRATIONS,
};

let used = 0;
/** An empty database: a Delivery object that nobody has used keeps no tables of its own. */
const blank = <T>(work: (storage: DurableObjectStorage) => T): Promise<T> =>
	runInDurableObject(env.DELIVERY.getByName(`blank-${++used}`), (_instance, state) => work(state.storage));

interface Column {
	name: string;
	type: string;
}
const tablesOf = (storage: DurableObjectStorage): string[] =>
	storage.sql
		.exec<{ name: string }>(
			"SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_cf_%' ORDER BY name",
		)
		.toArray()
		.map(({ name }) => name)
		.filter((name) => name !== 'migrations');
const columnsOf = (storage: DurableObjectStorage, table: string): Column[] =>
	storage.sql.exec<{ name: string; type: string }>(`SELECT name, type FROM pragma_table_info('${table}') ORDER BY cid`).toArray();
/** Columns and indexes of everything, whatever way the tables came to be. */
const shapeOf = (storage: DurableObjectStorage) => ({
	tables: Object.fromEntries(tablesOf(storage).map((table) => [table, columnsOf(storage, table)])),
	indexes: storage.sql
		.exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name")
		.toArray(),
});

/** Something that fits each column's type. */
const sample = (column: Column, row: number): string | number => (/INT|REAL/.test(column.type) ? row + 1 : `${column.name}-${row}`);

const fill = (storage: DurableObjectStorage): Record<string, unknown[]> => {
	const before: Record<string, unknown[]> = {};
	for (const table of tablesOf(storage)) {
		const columns = columnsOf(storage, table);
		// A table may check its values: what it does not take is left out, but something has to be there.
		for (let row = 0; row < 3; row++) {
			const names = columns.map(({ name }) => name).join(', ');
			const places = columns.map(() => '?').join(', ');
			storage.sql.exec(`INSERT OR IGNORE INTO ${table} (${names}) VALUES (${places})`, ...columns.map((column) => sample(column, row)));
		}
		before[table] = storage.sql.exec(`SELECT * FROM ${table} ORDER BY 1`).toArray();
		expect(before[table].length, table).toBeGreaterThan(0);
	}
	return before;
};

describe.each(Object.entries(LISTS))('migrations of %s', (name, list) => {
	it('were not changed since they were released', () => {
		const recorded = (released as Record<string, { name: string; hash: string }[]>)[name] ?? [];
		expect(recorded.length).toBeGreaterThan(0);
		// One that is missing in released.json could be edited unseen: append it there with its hash, which this prints.
		expect(list.map((migration) => ({ name: migration.name, hash: migrationHash(migration) }))).toEqual(recorded);
	});

	it.each(list.map((_, index) => index + 1))('carry the rows of version %i to today', async (version) => {
		const fresh = await blank((storage) => {
			migrate(storage, list, 1);
			return shapeOf(storage);
		});
		const carried = await blank((storage) => {
			migrate(storage, list.slice(0, version), 1);
			const before = fill(storage);
			expect(migrate(storage, list, 2)).toBe(list.length - version);
			const after = Object.fromEntries(
				Object.keys(before).map((table) => [table, storage.sql.exec(`SELECT * FROM ${table} ORDER BY 1`).toArray()]),
			);
			return { before, after, shape: shapeOf(storage), again: migrate(storage, list, 3) };
		});
		expect(carried.shape).toEqual(fresh);
		expect(carried.again).toBe(0);
		expect(carried.after).toMatchObject(carried.before);
	});
});

import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { migrationHash } from '../../src/lib/migrations.ts';
import { POOL_MIGRATIONS } from '../../src/pool/store.ts';
import { freshShard, makeJob, submit } from './harness.ts';

const history = (stub: DurableObjectStub) =>
	runInDurableObject(stub, (_, state) => state.storage.sql.exec('SELECT n, name, hash FROM migrations ORDER BY n').toArray());
const expected = POOL_MIGRATIONS.map((migration, index) => ({ n: index + 1, name: migration.name, hash: migrationHash(migration) }));

describe('migrations of a shard', () => {
	it('are recorded with their hash, and never again', async () => {
		const { pool, stub } = freshShard();
		await pool.metrics();
		expect(await history(stub)).toEqual(expected);
		await evictDurableObject(stub, { webSockets: 'close' });
		await pool.metrics();
		expect(await history(stub)).toEqual(expected);
	});

	it('takes over a shard whose history was only counted, with its jobs', async () => {
		const { pool, shard, stub } = freshShard();
		const job = makeJob(shard);
		await submit(pool, job);
		await runInDurableObject(stub, (_, state) => {
			state.storage.sql.exec('DROP TABLE migrations');
			state.storage.sql.exec('DROP TABLE pools');
			state.storage.sql.exec('CREATE TABLE migrations(id INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT');
			state.storage.sql.exec('INSERT INTO migrations(id, at) VALUES(0, 5), (1, 5)');
		});
		await evictDurableObject(stub, { webSockets: 'close' });
		expect(await pool.view('acme', job.id)).toMatchObject({ state: 'queued' });
		expect(await history(stub)).toEqual(expected);
	});
});

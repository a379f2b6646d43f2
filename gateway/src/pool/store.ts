/**
 * SQLite of a pool shard. Rows written are what costs, so they are counted by table from the cursors themselves.
 * @module
 */
import { MIGRATIONS_TABLE, MigrationError, migrate, migrationHash, type Migration } from '../lib/migrations.ts';
import type { JobRowData, NodeRowData, PoolRowData } from './pack.ts';

/** Append only: a migration that ran is never edited, its hash is recorded. */
export const POOL_MIGRATIONS: readonly Migration[] = [
	{
		name: '0001-live',
		sql: `CREATE TABLE live(
		id TEXT PRIMARY KEY,
		ws TEXT NOT NULL,
		rev INTEGER NOT NULL,
		state TEXT NOT NULL,
		spec TEXT NOT NULL,
		tasks TEXT NOT NULL,
		hist TEXT NOT NULL,
		meta TEXT NOT NULL,
		ftag REAL NOT NULL,
		deps TEXT
	) STRICT, WITHOUT ROWID`,
	},
	{
		name: '0002-nodes',
		sql: `CREATE TABLE nodes(
		id TEXT PRIMARY KEY,
		ws TEXT NOT NULL,
		mode TEXT NOT NULL,
		data TEXT NOT NULL
	) STRICT, WITHOUT ROWID`,
	},
	{
		name: '0003-pools',
		sql: 'CREATE TABLE pools(ws TEXT PRIMARY KEY, data TEXT NOT NULL) STRICT, WITHOUT ROWID',
	},
];

/** Shards of the first version only counted what had run, which was the first so many of the list. */
const adoptCountedHistory = (storage: DurableObjectStorage): void => {
	const table = storage.sql
		.exec<{ sql: string }>("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'migrations'")
		.toArray()[0];
	if (table === undefined || table.sql.includes('hash')) return;
	storage.transactionSync(() => {
		const counted = storage.sql.exec<{ id: number; at: number }>('SELECT id, at FROM migrations ORDER BY id').toArray();
		storage.sql.exec('DROP TABLE migrations');
		storage.sql.exec(MIGRATIONS_TABLE);
		for (const [index, { at }] of counted.entries()) {
			const migration = POOL_MIGRATIONS[index];
			if (migration === undefined) throw new MigrationError(`the storage has ${counted.length} migrations: it is newer than this version`);
			const values = [index + 1, migration.name, migrationHash(migration), at];
			storage.sql.exec('INSERT INTO migrations (n, name, hash, at) VALUES (?, ?, ?, ?)', ...values);
		}
	});
};

/** SQLite in a Durable Object refuses rows above 2 MB, and only in production. */
const ROW_MAX_BYTES = 2_000_000;
/** A statement takes at most 100 bound parameters. */
const DELETE_BATCH = 90;

const PUT_JOB = `INSERT INTO live(id, ws, rev, state, spec, tasks, hist, meta, ftag, deps) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT(id) DO UPDATE SET rev = excluded.rev, state = excluded.state, tasks = excluded.tasks,
	hist = excluded.hist, meta = excluded.meta, ftag = excluded.ftag, deps = excluded.deps`;
const PUT_NODE = `INSERT INTO nodes(id, ws, mode, data) VALUES(?, ?, ?, ?)
	ON CONFLICT(id) DO UPDATE SET ws = excluded.ws, mode = excluded.mode, data = excluded.data`;

const guardRow = (table: string, id: string, texts: string[]): void => {
	const chars = texts.reduce((sum, text) => sum + text.length, 0);
	// Most rows are far below: only those that could be too large in UTF-8 are measured.
	if (chars * 3 < ROW_MAX_BYTES) return;
	const bytes = texts.reduce((sum, text) => sum + new TextEncoder().encode(text).length, 0);
	if (bytes > ROW_MAX_BYTES) throw new Error(`row ${id} of ${table} would have ${bytes} bytes`);
};

/** Typed access to the rows; every method is synchronous and part of the caller's commit. */
export class Store {
	readonly rowsWritten: Record<string, number> = { live: 0, nodes: 0, alarm: 0 };
	readonly #storage: DurableObjectStorage;
	readonly #sql: SqlStorage;

	constructor(storage: DurableObjectStorage) {
		this.#storage = storage;
		this.#sql = storage.sql;
	}

	/** Runs the migrations that have not run. */
	migrate(now: number): void {
		adoptCountedHistory(this.#storage);
		migrate(this.#storage, POOL_MIGRATIONS, now);
	}

	putJob(row: JobRowData): void {
		guardRow('live', row.id, [row.spec, row.tasks, row.hist, row.meta]);
		this.#write('live', PUT_JOB, row.id, row.ws, row.rev, row.state, row.spec, row.tasks, row.hist, row.meta, row.ftag, row.deps ?? null);
	}

	putNode(row: NodeRowData): void {
		guardRow('nodes', row.id, [row.data]);
		this.#write('nodes', PUT_NODE, row.id, row.ws, row.mode, row.data);
	}

	putPool(row: PoolRowData): void {
		this.#write('pools', 'INSERT INTO pools(ws, data) VALUES(?, ?) ON CONFLICT(ws) DO UPDATE SET data = excluded.data', row.ws, row.data);
	}

	deleteJobs(ids: string[]): void {
		for (let i = 0; i < ids.length; i += DELETE_BATCH) {
			const some = ids.slice(i, i + DELETE_BATCH);
			this.#write('live', `DELETE FROM live WHERE id IN (${some.map(() => '?').join(',')})`, ...some);
		}
	}

	/** A row that memory has let go of: a settled job whose row is still kept. */
	job(id: string): JobRowData | undefined {
		return this.#sql.exec<JobRowSql>('SELECT * FROM live WHERE id = ?', id).toArray()[0];
	}

	load(): { jobs: JobRowData[]; nodes: NodeRowData[]; pools: PoolRowData[] } {
		return {
			jobs: this.#sql.exec<JobRowSql>('SELECT id, ws, rev, state, spec, tasks, hist, meta, ftag, deps FROM live').toArray(),
			nodes: this.#sql.exec<NodeRowSql>('SELECT id, ws, mode, data FROM nodes').toArray(),
			pools: this.#sql.exec<PoolRowSql>('SELECT ws, data FROM pools').toArray(),
		};
	}

	#write(table: string, statement: string, ...values: SqlStorageValue[]): void {
		const cursor = this.#sql.exec(statement, ...values);
		this.rowsWritten[table] = (this.rowsWritten[table] ?? 0) + cursor.rowsWritten;
	}
}

type JobRowSql = JobRowData & Record<string, SqlStorageValue>;
type PoolRowSql = PoolRowData & Record<string, SqlStorageValue>;
type NodeRowSql = NodeRowData & Record<string, SqlStorageValue>;

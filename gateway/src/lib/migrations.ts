/**
 * Schema migrations of a Durable Object: an append-only list, recorded by name and hash in the table `migrations`.
 * `PRAGMA user_version` and `BEGIN` are refused in Durable Objects, so the list has a table of its own and each run is
 * one `transactionSync`.
 * @module
 */
import { createHash } from 'node:crypto';

export interface Migration {
	/** Unique and never changed, for example `0001-jobs`. */
	name: string;
	/** One or more statements. Never edited once released: append another migration instead. */
	sql: string;
}

export interface AppliedMigration {
	n: number;
	name: string;
	hash: string;
}

/** The history in the storage is not a prefix of the list in the code. Always a mistake of a release, never of a caller. */
export class MigrationError extends Error {
	override readonly name = 'MigrationError';
}

/** Hash by which an edited migration is recognised; layout changes of the text count as edits. */
export const migrationHash = (migration: Migration): string =>
	createHash('sha256').update(migration.name).update('\n').update(migration.sql).digest('hex');

/**
 * Decides which migrations are still to run.
 * @param applied what the table says, ordered by `n` from 1
 * @param list the list in the code
 * @throws {MigrationError} when history was edited, reordered or shortened
 */
export const planMigrations = (applied: readonly AppliedMigration[], list: readonly Migration[]): (Migration & AppliedMigration)[] => {
	const names = new Set(list.map((migration) => migration.name));
	if (names.size !== list.length) throw new MigrationError('two migrations have the same name');
	for (const [index, done] of applied.entries()) {
		const migration = list[index];
		if (done.n !== index + 1) throw new MigrationError(`migration ${index + 1} is missing from the recorded history`);
		if (!migration) throw new MigrationError(`the storage has migration ${done.name}, which this version does not know: it is newer`);
		if (migration.name !== done.name) throw new MigrationError(`migration ${done.n} was ${done.name} and is now ${migration.name}`);
		if (migrationHash(migration) !== done.hash) throw new MigrationError(`migration ${done.name} was edited after it had run`);
	}
	return list.slice(applied.length).map((migration, index) => ({
		...migration,
		n: applied.length + index + 1,
		hash: migrationHash(migration),
	}));
};

/** Whether this storage was ever migrated. Reads only: an object that nobody owns must not come to cost storage. */
export const isMigrated = (storage: DurableObjectStorage): boolean =>
	storage.sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'migrations'").toArray().length > 0;

/** The table of what has run. */
export const MIGRATIONS_TABLE =
	'CREATE TABLE migrations (n INTEGER PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID';

/**
 * Brings the storage up to the list, in one transaction. Call it in the constructor.
 * @param nowMs milliseconds since the epoch, recorded with each migration
 * @returns number of migrations that ran
 * @throws {MigrationError} when the recorded history does not fit the list; nothing is changed then
 */
export const migrate = (storage: DurableObjectStorage, list: readonly Migration[], nowMs: number): number =>
	storage.transactionSync(() => {
		if (!isMigrated(storage)) {
			storage.sql.exec(MIGRATIONS_TABLE);
		}
		const applied = storage.sql
			.exec<{ n: number; name: string; hash: string }>('SELECT n, name, hash FROM migrations ORDER BY n')
			.toArray();
		const todo = planMigrations(applied, list);
		for (const migration of todo) {
			storage.sql.exec(migration.sql);
			storage.sql.exec(
				'INSERT INTO migrations (n, name, hash, at) VALUES (?, ?, ?, ?)',
				migration.n,
				migration.name,
				migration.hash,
				nowMs,
			);
		}
		return todo.length;
	});

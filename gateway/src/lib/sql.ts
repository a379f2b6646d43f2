/**
 * SQLite of a Durable Object with a count of the rows it writes. Rows written are what Cloudflare bills and what the
 * row budgets of the design bound, so every statement names the table that it is counted for.
 * @module
 */

export type SqlValue = string | number | null;
export type SqlRow = Record<string, SqlValue>;

/** Counts rows written since this instance was constructed; an eviction starts again at zero. */
export class CountedSql {
	readonly #sql: SqlStorage;
	readonly #written = new Map<string, number>();

	constructor(sql: SqlStorage) {
		this.#sql = sql;
	}

	/** Runs a writing statement; answers the rows it wrote. */
	write(table: string, statement: string, ...bindings: SqlValue[]): number {
		const cursor = this.#sql.exec(statement, ...bindings);
		// The count is complete only when the cursor is drained.
		cursor.toArray();
		this.note(table, cursor.rowsWritten);
		return cursor.rowsWritten;
	}

	/** Counts rows that are not written by SQL: an alarm costs one. */
	note(table: string, rows: number): void {
		if (rows > 0) this.#written.set(table, (this.#written.get(table) ?? 0) + rows);
	}

	all<R extends SqlRow>(statement: string, ...bindings: SqlValue[]): R[] {
		return this.#sql.exec<R>(statement, ...bindings).toArray();
	}

	/** Rows one by one; must be finished before any `await`, because a cursor has no snapshot. */
	each<R extends SqlRow>(statement: string, ...bindings: SqlValue[]): Iterable<R> {
		return this.#sql.exec<R>(statement, ...bindings);
	}

	written(): Record<string, number> {
		return Object.fromEntries(this.#written);
	}
}

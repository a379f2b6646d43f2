/**
 * Reports of pictures, as rows of the Registry: whoever runs the gateway looks at those of all workspaces in one place.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { refuse, REPORT_LIMITS as L, uuidv7Base32, type Result } from '@limner/shared';
import type { Page, ReportQuery, ReportReason, ReportState, ReportView } from '../rpc.ts';

type ReportSql = {
	id: string;
	ws: string;
	image_id: string;
	reason: string;
	detail: string;
	who: string;
	created_at: number;
	state: string;
	decided_at: number | null;
	decided_by: string | null;
	note: string;
};

/** Rows are written by this file, so their words are those of the types. */
const fromSql = (sql: ReportSql): ReportView => ({
	id: sql.id,
	ws: sql.ws,
	imageId: sql.image_id,
	reason: sql.reason as ReportReason,
	detail: sql.detail,
	who: sql.who,
	createdAt: sql.created_at,
	state: sql.state as ReportState,
	decidedAt: sql.decided_at,
	decidedBy: sql.decided_by,
	note: sql.note,
});

type NewReport = Pick<ReportView, 'ws' | 'imageId' | 'reason' | 'detail' | 'who'>;
interface By {
	who: string;
	note: string;
}

export class Reports {
	readonly #sql: SqlStorage;

	constructor(sql: SqlStorage) {
		this.#sql = sql;
	}

	#all(statement: string, ...values: (string | number | null)[]): ReportView[] {
		return this.#sql
			.exec<ReportSql>(statement, ...values)
			.toArray()
			.map(fromSql);
	}

	add(input: NewReport, nowMs: number): Result<{ report: ReportView }> {
		const { ws, imageId, reason, detail, who } = input;
		this.#sql.exec("DELETE FROM reports WHERE state <> 'open' AND decided_at < ?", nowMs - L.keepMs);
		const open = this.#all("SELECT * FROM reports WHERE ws = ? AND state = 'open' AND image_id = ? AND who = ?", ws, imageId, who)[0];
		if (open !== undefined) return { ok: true, report: open };
		const { n } = this.#sql.exec<{ n: number }>("SELECT count(*) AS n FROM reports WHERE ws = ? AND state = 'open'", ws).one();
		if (n >= L.openMax) return refuse('conflict', `${L.openMax} reports of this workspace wait for a decision; decide some first`);
		const id = `rep_${uuidv7Base32(nowMs, randomBytes(10))}`;
		this.#sql.exec(
			`INSERT INTO reports (id, ws, image_id, reason, detail, who, created_at, state, decided_at, decided_by, note)
				VALUES (?, ?, ?, ?, ?, ?, ?, 'open', NULL, NULL, '')`,
			id,
			ws,
			imageId,
			reason,
			detail,
			who,
			nowMs,
		);
		const [report] = this.#all('SELECT * FROM reports WHERE id = ?', id);
		return report === undefined ? refuse('internal') : { ok: true, report };
	}

	list({ ws, state, limit, cursor }: ReportQuery): Page<ReportView> {
		const rows = this.#all(
			'SELECT * FROM reports WHERE id < ? AND (? IS NULL OR ws = ?) AND (? IS NULL OR state = ?) ORDER BY id DESC LIMIT ?',
			cursor ?? '~',
			ws ?? null,
			ws ?? null,
			state ?? null,
			state ?? null,
			limit + 1,
		);
		const data = rows.slice(0, limit);
		return { data, nextCursor: rows.length > limit ? (data.at(-1)?.id ?? null) : null };
	}

	/** Dismissing again changes nothing; a picture that is gone does not come back. */
	dismiss(id: string, ws: string | null, { who, note }: By, nowMs: number): Result<{ report: ReportView }> {
		const [report] = this.#all('SELECT * FROM reports WHERE id = ?', id);
		if (report === undefined || (ws !== null && report.ws !== ws)) return refuse('not_found', `there is no report ${id}`);
		if (report.state === 'taken-down') return refuse('conflict', 'the picture was taken down');
		if (report.state === 'dismissed') return { ok: true, report };
		this.#sql.exec("UPDATE reports SET state = 'dismissed', decided_at = ?, decided_by = ?, note = ? WHERE id = ?", nowMs, who, note, id);
		return { ok: true, report: { ...report, state: 'dismissed', decidedAt: nowMs, decidedBy: who, note } };
	}

	close(ws: string, imageId: string, { who, note }: By, nowMs: number): number {
		const cursor = this.#sql.exec(
			"UPDATE reports SET state = 'taken-down', decided_at = ?, decided_by = ?, note = ? WHERE ws = ? AND image_id = ? AND state = 'open' RETURNING id",
			nowMs,
			who,
			note,
			ws,
			imageId,
		);
		return cursor.toArray().length;
	}

	drop(ws: string): void {
		this.#sql.exec('DELETE FROM reports WHERE ws = ?', ws);
	}
}

/**
 * The upload of a report: JSON instead of a picture. It goes into the job, not into the bucket. Pure.
 * @module
 */
import { createHash } from 'node:crypto';
import { resultKey, TASK_LIMITS, type ResultTicket } from '@limner/shared';
import type { ReportInput } from '../../rpc.ts';

export const REPORT_TYPE = 'application/json';

export type ReadReport = { ok: true; input: ReportInput } | { ok: false; detail: string };

const parse = (bytes: Uint8Array): Record<string, unknown> | undefined => {
	try {
		const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes));
		return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
	} catch {
		return undefined;
	}
};

/** Reads what a node says of its task. */
export const readReport = (claims: ResultTicket, sha256: string | null, bytes: Uint8Array, nowMs: number): ReadReport => {
	if (bytes.length > TASK_LIMITS.reportBytes)
		return { ok: false, detail: `The report has ${bytes.length} bytes; at most ${TASK_LIMITS.reportBytes} are kept.` };
	const actual = createHash('sha256').update(bytes).digest('hex');
	if (actual !== sha256?.toLowerCase()) return { ok: false, detail: 'The SHA-256 of the report is not the one in X-Content-SHA256.' };
	const data = parse(bytes);
	if (data === undefined) return { ok: false, detail: 'The report is not a JSON object.' };
	const { ws, job: jobId, i: index, e: epoch, node: nodeId } = claims;
	const key = resultKey(ws, jobId, index, epoch, actual, 'json');
	return { ok: true, input: { ws, jobId, index, epoch, nodeId, report: { index, key, epoch, nodeId, sha256: actual, at: nowMs, data } } };
};

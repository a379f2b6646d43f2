import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { TASK_LIMITS, type ResultTicket } from '@limner/shared';
import { readReport } from './report.ts';

const claims = { ws: 'acme', job: 'job_1', i: 2, e: 3, node: 'node_1' } as unknown as ResultTicket;
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const shaOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const read = (bytes: Uint8Array, sha: string | null = shaOf(bytes)) => readReport(claims, sha, bytes, 1000);

/** A report of so many bytes. */
const filled = (size: number): Uint8Array => bytesOf(`{"a":"${'x'.repeat(size - 8)}"}`);

describe('the upload of a report', () => {
	it('names the place, the epoch and the bytes of what it takes', () => {
		const bytes = bytesOf('{"free":1,"models":[]}');
		const sha = shaOf(bytes);
		const answer = read(bytes);
		if (!answer.ok) throw new Error(answer.detail);
		expect(answer.input).toMatchObject({ ws: 'acme', jobId: 'job_1', index: 2, epoch: 3, nodeId: 'node_1' });
		expect(answer.input.report).toMatchObject({ data: { free: 1, models: [] }, sha256: sha, epoch: 3, at: 1000 });
		expect(answer.input.report.key).toContain('/3-');
		expect(answer.input.report.key).toContain(sha.slice(0, 32));
	});

	it('takes the hash in capitals too, and refuses another one or none', () => {
		const bytes = bytesOf('{}');
		expect(read(bytes, shaOf(bytes).toUpperCase()).ok).toBe(true);
		expect(read(bytes, shaOf(bytesOf('{ }')))).toMatchObject({ ok: false, detail: expect.stringContaining('SHA-256') });
		expect(read(bytes, null).ok).toBe(false);
	});

	it.each(['[]', '"text"', '7', 'null', 'true', '', '{', 'NaN'])('refuses %j, which is no JSON object', (text) => {
		expect(read(bytesOf(text))).toEqual({ ok: false, detail: 'The report is not a JSON object.' });
	});

	it('refuses bytes that are no text', () => {
		expect(read(Uint8Array.from([0x7b, 0xff, 0x7d]))).toEqual({ ok: false, detail: 'The report is not a JSON object.' });
	});

	it('takes as many bytes as the limit says, and not one more', () => {
		expect(filled(TASK_LIMITS.reportBytes)).toHaveLength(TASK_LIMITS.reportBytes);
		expect(read(filled(TASK_LIMITS.reportBytes)).ok).toBe(true);
		expect(read(filled(TASK_LIMITS.reportBytes + 1))).toMatchObject({ ok: false, detail: expect.stringContaining('at most') });
	});
});

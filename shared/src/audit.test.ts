import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { verifyExport } from './audit.ts';
import { EMPTY_LEDGER, histHash, nextLedgerRow, type LedgerEntry, type LedgerHead } from './ledger.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const hist = [{ rev: 1, at: 5, type: 'succeeded' as const, who: 'pool' }];
const settle = (job: string): LedgerEntry => ({
	type: 'settle',
	job,
	state: 'succeeded',
	finishedAt: 5,
	usage: { images: 1, megapixelSteps: 0.1 },
	hist: histHash(hist, sha256),
	images: [],
});

const exported = (): string[] => {
	const groups: LedgerEntry[][] = [
		[settle('job_a'), settle('job_b')],
		[{ type: 'action', id: '1', who: 'key:k', action: 'node.pause', target: 'node_1' }],
		[settle('job_c')],
	];
	const lines: string[] = [];
	let head: LedgerHead = EMPTY_LEDGER;
	for (const [i, entries] of groups.entries()) {
		const row = nextLedgerRow(head, entries, 1000 + i, sha256);
		head = row;
		lines.push(JSON.stringify({ kind: 'row', ...row }));
		for (const entry of entries) if (entry.type === 'settle') lines.push(JSON.stringify({ kind: 'history', job: entry.job, hist }));
	}
	lines.push(JSON.stringify({ kind: 'unsealed', job: 'job_d', hist }));
	const first = {
		kind: 'ledger',
		version: 1,
		workspace: 'w',
		exportedAt: new Date(0).toISOString(),
		head: { seq: head.seq, hash: head.hash },
	};
	return [JSON.stringify(first), ...lines];
};

const planted = (change: (lines: string[]) => string[]) => verifyExport(change(exported()), sha256);

describe('verifyExport', () => {
	it('takes an untouched export', async () => {
		expect(await verifyExport(exported(), sha256)).toMatchObject({
			ok: true,
			workspace: 'w',
			rows: 3,
			histories: 3,
			unsealed: 1,
			head: { seq: 3 },
		});
	});

	it.each<[string, (lines: string[]) => string[], RegExp]>([
		['who did something', (lines) => lines.map((line) => line.replace('key:k', 'key:x')), /changed after/],
		['usage', (lines) => lines.map((line) => line.replace('"images":1', '"images":0')), /totals/],
		['a row left out', (lines) => lines.filter((line) => !line.includes('node.pause')), /missing/],
		['two rows swapped', ([a, b, c, d, e, ...rest]) => [a!, e!, c!, d!, b!, ...rest], /missing|order/],
		['the end cut off', (lines) => lines.slice(0, 5), /ends at row 2/],
		['the header cut off', (lines) => lines.slice(1), /first line/],
		[
			'a history',
			(lines) => lines.map((line) => (line.includes('"history"') ? line.replace('"who":"pool"', '"who":"me"') : line)),
			/sealed/,
		],
		['a history of another job', (lines) => [...lines, JSON.stringify({ kind: 'history', job: 'job_a', hist })], /sealed/],
		['rubbish', (lines) => [...lines, '{'], /not a line/],
		['two joined', (lines) => [...lines, ...lines], /second header/],
	])('turns red: %s', async (_name, change, why) => {
		const verdict = await planted(change);
		expect(verdict).toMatchObject({ ok: false, why: expect.stringMatching(why) });
	});
});

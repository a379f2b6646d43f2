import { EMPTY_LEDGER, GENESIS, nextLedgerRow, type LedgerEntry } from '@limner/shared/ledger';
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { verify } from './verify.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** An export of a ledger with these entries, a row each. */
const exported = (...entries: LedgerEntry[]): string[] => {
	let head: typeof EMPTY_LEDGER = EMPTY_LEDGER;
	const rows = entries.map((entry, i) => {
		const row = nextLedgerRow(head, [entry], 1000 + i, sha256);
		head = row;
		return JSON.stringify({ kind: 'row', ...row });
	});
	const header = {
		kind: 'ledger',
		version: 1,
		workspace: 'main',
		exportedAt: '2026-11-21T00:00:00.000Z',
		head: { seq: head.seq, hash: head.hash },
	};
	return [JSON.stringify(header), ...rows];
};

const KEYS: LedgerEntry[] = ['a', 'b', 'c'].map((key) => ({ type: 'key', key, scopes: ['jobs:read'] }));

describe('the check of an exported ledger', () => {
	it('finds a whole chain whole, with umlauts too', async () => {
		const lines = exported(...KEYS, { type: 'key', key: 'Zürich ✓', scopes: [] });
		expect(await verify(lines.join('\n'))).toMatchObject({ ok: true, workspace: 'main', rows: 4 });
		expect(await verify(exported().join('\n'))).toMatchObject({ ok: true, rows: 0, head: { hash: GENESIS } });
	});

	it('finds the line that was changed, left out or cut off', async () => {
		const lines = exported(...KEYS);
		const changed = lines.with(2, lines[2]?.replace('"b"', '"x"') ?? '');
		expect(await verify(changed.join('\n'))).toMatchObject({ ok: false, line: 3, seq: 2 });
		expect(await verify(lines.toSpliced(2, 1).join('\n'))).toMatchObject({ ok: false, line: 3 });
		expect(await verify(lines.slice(0, -1).join('\n'))).toMatchObject({ ok: false });
	});
});

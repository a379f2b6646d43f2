import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EMPTY_LEDGER, nextLedgerRow, type LedgerHead } from '@limner/shared';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runLimner } from '../run.test-lib.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

const ledger = (rows: number, who = 'key:a'): string => {
	let head: LedgerHead = EMPTY_LEDGER;
	const lines: string[] = [];
	for (let i = 0; i < rows; i++) {
		const row = nextLedgerRow(head, [{ type: 'action', id: String(i), who, action: 'node.pause', target: 'node' }], i, sha256);
		head = row;
		lines.push(JSON.stringify({ kind: 'row', ...row }));
	}
	const first = {
		kind: 'ledger',
		version: 1,
		workspace: 'main',
		exportedAt: new Date(0).toISOString(),
		head: { seq: head.seq, hash: head.hash },
	};
	return `${[JSON.stringify(first), ...lines].join('\n')}\n`;
};

let folder = '';
let server: Server;
let live = '';

beforeEach(async () => {
	folder = mkdtempSync(join(tmpdir(), 'limner-audit-'));
	server = createServer((request, response) => {
		response.statusCode = request.url === '/api/v1/audit/export' && request.headers.authorization === 'Bearer k' ? 200 : 401;
		response.end(live);
	});
	await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
	await new Promise((resolve) => server.close(resolve));
	rmSync(folder, { recursive: true, force: true });
});

const limner = (...args: string[]) =>
	runLimner(folder, ['audit', ...args], {
		LIMNER_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
		LIMNER_API_KEY: 'k',
	});

describe('limner audit', () => {
	it('exports and verifies, from a file and from the gateway', async () => {
		live = ledger(3);
		expect(await limner('export', '--out', 'a.jsonl')).toMatchObject({ code: 0 });
		expect(readFileSync(join(folder, 'a.jsonl'), 'utf8')).toBe(live);
		for (const args of [['verify', 'a.jsonl'], ['verify']]) {
			const ran = await limner(...args);
			expect(ran.code).toBe(0);
			expect(ran.out).toContain('3 rows');
		}
	});

	it('turns red for a planted change', async () => {
		writeFileSync(join(folder, 'a.jsonl'), ledger(3).replace('node.pause', 'node.resume'));
		const ran = await limner('verify', 'a.jsonl');
		expect(ran.code).toBe(1);
		expect(ran.err).toContain('row 1');
	});

	it('finds a chain that was written anew since an earlier export', async () => {
		writeFileSync(join(folder, 'old.jsonl'), ledger(2));
		live = ledger(4);
		expect((await limner('verify', '--since', 'old.jsonl')).code).toBe(0);
		live = ledger(4, 'key:b');
		const ran = await limner('verify', '--since', 'old.jsonl');
		expect(ran).toMatchObject({ code: 1 });
		expect(ran.err).toContain('written anew');
	});

	it('says what is wrong with a file that is no export', async () => {
		writeFileSync(join(folder, 'x'), 'hello\n');
		expect((await limner('verify', 'x')).err).toContain('not a line');
		expect((await limner('verify', 'missing')).err).toContain('ENOENT');
	});
});

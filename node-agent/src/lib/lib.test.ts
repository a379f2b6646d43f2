import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fullJitter, sleep } from './backoff.ts';
import { realFs, writeAtomic } from './durable-fs.ts';
import { fileLog } from './log.ts';
import { rotate, rotateInPlace } from './rotate.ts';
import { errorCode, messageOf } from './user-error.ts';

let folder = '';
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'limner-lib-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('writeAtomic', () => {
	it('replaces a file whole, with the mode asked for', async () => {
		const file = join(folder, 'a.json');
		await writeAtomic(realFs, file, 'one', 0o600);
		await writeAtomic(realFs, file, 'two', 0o600);
		expect(readFileSync(file, 'utf8')).toBe('two');
		expect(statSync(file).mode & 0o777).toBe(0o600);
	});
	it('keeps the old file and leaves nothing behind when the disk is full', async () => {
		const file = join(folder, 'a.json');
		await writeAtomic(realFs, file, 'one');
		const full = { ...realFs, rename: () => Promise.reject(new Error('ENOSPC')) };
		await expect(writeAtomic(full, file, 'two')).rejects.toThrow('ENOSPC');
		expect(readFileSync(file, 'utf8')).toBe('one');
		expect(await realFs.list(folder)).toEqual(['a.json']);
	});
});

describe('logs', () => {
	it('are JSON lines with an ISO time, appended', () => {
		const file = join(folder, 'deep', 'node.log');
		fileLog(file).info({ traceId: 't' }, 'one');
		fileLog(file).warn('two');
		const lines = readFileSync(file, 'utf8')
			.trim()
			.split('\n')
			.map((line) => JSON.parse(line) as Record<string, unknown>);
		expect(lines.map((line) => line['msg'])).toEqual(['one', 'two']);
		expect(lines[0]).toMatchObject({ traceId: 't', time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string });
	});
	it('are set aside at their bound and not before', () => {
		const file = join(folder, 'x.log');
		expect(rotate(file, 3)).toBe(false);
		writeFileSync(file, 'ab');
		expect(rotate(file, 3)).toBe(false);
		writeFileSync(file, 'abc');
		expect(rotate(file, 3)).toBe(true);
		expect(existsSync(file)).toBe(false);
		expect(readFileSync(`${file}.1`, 'utf8')).toBe('abc');
	});
});

describe('logs that another process writes', () => {
	it('are emptied at their bound without taking the file from its writer', () => {
		const file = join(folder, 'y.log');
		const writer = openSync(file, 'a');
		writeSync(writer, 'ab');
		expect(rotateInPlace(file, 3)).toBe(false);
		writeSync(writer, 'c');
		expect(rotateInPlace(file, 3)).toBe(true);
		writeSync(writer, 'd');
		closeSync(writer);
		expect(readFileSync(file, 'utf8')).toBe('d');
		expect(readFileSync(`${file}.1`, 'utf8')).toBe('abc');
		expect(rotateInPlace(join(folder, 'none.log'), 3)).toBe(false);
	});
});

describe('waiting', () => {
	it('jitters over the whole range and stays under the cap for any attempt', () => {
		const bounds = { firstMs: 1000, capMs: 30_000 };
		expect([fullJitter(0, 0, bounds), fullJitter(0, 0.5, bounds), fullJitter(3, 1, bounds)]).toEqual([0, 500, 8000]);
		expect(fullJitter(10_000, 1, bounds)).toBe(30_000);
	});
	it('ends early when told', async () => {
		const abort = new AbortController();
		const began = Date.now();
		setTimeout(() => abort.abort(), 20);
		await sleep(60_000, abort.signal);
		await sleep(60_000, abort.signal);
		expect(Date.now() - began).toBeLessThan(5000);
	});
});

describe('errors', () => {
	it('finds the system’s code through causes and aggregates', () => {
		const refused = Object.assign(new Error('x'), { code: 'ECONNREFUSED' });
		expect(errorCode(new TypeError('fetch failed', { cause: new AggregateError([refused]) }))).toBe('ECONNREFUSED');
		expect(errorCode(new Error('x'))).toBeUndefined();
		expect(errorCode('text')).toBeUndefined();
		expect(messageOf('text')).toBe('text');
	});
});

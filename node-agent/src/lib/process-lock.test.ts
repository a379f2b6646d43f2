import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockOwner, parseOwner, startTicks, stillRuns, takeLock } from './process-lock.ts';

let folder = '';
let file = '';
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'limner-lock-'));
	file = join(folder, 'node.pid');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const take = (): { release: () => void } => {
	const lock = takeLock(file);
	if (!lock.ok) throw new Error(`process ${lock.pid} has it`);
	return lock;
};

describe('whether an owner still runs', () => {
	const owner = { pid: 7, bootId: 'a', startedAt: '100' };
	it.each([
		['the same process', owner, { ...owner }, true],
		['nobody', owner, undefined, false],
		['another program with the same number', owner, { ...owner, startedAt: '200' }, false],
		['a process of a later boot', owner, { ...owner, bootId: 'b' }, false],
		['a system that tells neither', owner, { pid: 7, bootId: '', startedAt: '' }, true],
		['a lock that tells neither', { pid: 7, bootId: '', startedAt: '' }, owner, true],
	])('%s', (_name, told, now, runs) => expect(stillRuns(told, now)).toBe(runs));
	it('reads the start time behind a name with brackets', () => {
		const fields = Array.from({ length: 30 }, (_, i) => String(i + 3));
		expect(startTicks(`42 (a (b) c) ${fields.join(' ')}`)).toBe('22');
		expect(startTicks('')).toBe('');
	});
	it('reads old files, and takes rubbish for nothing', () => {
		expect(parseOwner('12\n')).toEqual({ pid: 12, bootId: '', startedAt: '' });
		expect(parseOwner('{"pid":12,"bootId":"b"}')).toEqual({ pid: 12, bootId: 'b', startedAt: '' });
		for (const text of ['', 'rubbish', '{}', '[]', 'null', '{"pid":"x"}']) expect(parseOwner(text)).toBeUndefined();
	});
});

describe('the lock', () => {
	it('names this process, and is gone after its release', () => {
		const lock = take();
		expect(lockOwner(file)?.pid).toBe(process.pid);
		expect(readdirSync(folder)).toEqual(['node.pid']);
		lock.release();
		expect(existsSync(file)).toBe(false);
	});
	it('recovers what a dead process, an earlier boot, a reused number or a cut-off write left', () => {
		const dead = spawnSync(process.execPath, ['-e', '']).pid;
		const foreign = { pid: process.ppid, bootId: 'of-last-year', startedAt: '1' };
		for (const text of [String(dead), JSON.stringify(foreign), JSON.stringify({ ...foreign, bootId: '' }), '', 'rubbish']) {
			writeFileSync(file, text);
			take().release();
			expect(existsSync(file)).toBe(false);
		}
	});
	it('does not take away what another process holds by now', () => {
		const lock = take();
		writeFileSync(file, '{"pid":1}');
		lock.release();
		expect(readFileSync(file, 'utf8')).toBe('{"pid":1}');
	});
	it('lets exactly one of several processes have it, over a stale lock', async () => {
		writeFileSync(file, '{"pid":999999999,"bootId":"x","startedAt":"1"}');
		const script = `import { takeLock } from ${JSON.stringify(new URL('process-lock.ts', import.meta.url).href)};
			const lock = takeLock(process.argv[1]); process.stdout.write(lock.ok ? 'mine' : 'no');
			setInterval(() => undefined, 1000);`;
		const children = Array.from({ length: 4 }, () =>
			spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script, file], {
				stdio: ['ignore', 'pipe', 'inherit'],
			}),
		);
		const words = await Promise.all(
			children.map((child) => new Promise<string>((resolve) => child.stdout.once('data', (chunk) => resolve(String(chunk))))),
		);
		for (const child of children) child.kill('SIGKILL');
		expect(words.toSorted()).toEqual(['mine', 'no', 'no', 'no']);
	});
});

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { lockState } from './lock.ts';

let folder = '';
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'limner-lock-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('refuses a folder that another limner runs on', async () => {
	const other = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)', 'limner']);
	await new Promise((resolve) => other.once('spawn', resolve));
	writeFileSync(join(folder, 'up.pid'), String(other.pid));
	expect(() => lockState(folder)).toThrow(new RegExp(`Another limner \\(process ${other.pid}\\) runs on .*--state-dir`));
	other.kill('SIGKILL');
});

it('takes over from a process that is gone, from a number that now means another program, and from rubbish', () => {
	const dead = spawnSync(process.execPath, ['-e', '']).pid;
	for (const text of [String(dead), 'rubbish', '', String(process.pid)]) {
		writeFileSync(join(folder, 'up.pid'), text);
		const release = lockState(folder);
		release();
		expect(existsSync(join(folder, 'up.pid'))).toBe(false);
	}
});

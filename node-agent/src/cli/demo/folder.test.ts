import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeDemoFolder } from './command.ts';

let folder = '';
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'limner-demo-folder-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('removes what a demo that was killed left behind, and nothing else', () => {
	const dead = spawnSync(process.execPath, ['-e', '']).pid;
	for (const name of [`demo-${dead}-abc`, `demo-${process.pid}-abc`, 'gateway', 'demo-old']) mkdirSync(join(folder, name));
	const made = makeDemoFolder(folder);
	expect(existsSync(made)).toBe(true);
	expect(statSync(made).mode & 0o777).toBe(0o700);
	expect(readdirSync(folder).filter((name) => !made.endsWith(name))).toEqual([`demo-${process.pid}-abc`, 'demo-old', 'gateway']);
});

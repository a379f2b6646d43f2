/**
 * One `limner up` a state folder: two gateways would write the same database files.
 * @module
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode, UserError } from '../../lib/user-error.ts';

/** Whether a process with that pid lives and, where the system tells, is one of ours: pids are used again. */
const isOurs = (pid: number): boolean => {
	try {
		process.kill(pid, 0);
	} catch (error) {
		return errorCode(error) === 'EPERM';
	}
	if (process.platform !== 'linux') return true;
	try {
		return /limner|cli\/main\.ts/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
	} catch {
		return true;
	}
};

const ownerOf = (file: string): number | undefined => {
	try {
		const pid = Number(readFileSync(file, 'utf8'));
		return Number.isInteger(pid) && pid > 0 && pid !== process.pid && isOurs(pid) ? pid : undefined;
	} catch {
		return undefined;
	}
};

/**
 * Claims a state folder for this process.
 * @returns gives it back
 * @throws {UserError} when another process has it
 */
export const lockState = (dir: string): (() => void) => {
	const file = join(dir, 'up.pid');
	const owner = ownerOf(file);
	if (owner !== undefined) {
		throw new UserError(`Another limner (process ${owner}) runs on ${dir}; stop it first, or choose another folder with --state-dir.`);
	}
	writeFileSync(file, String(process.pid), { mode: 0o600 });
	return () => rmSync(file, { force: true });
};

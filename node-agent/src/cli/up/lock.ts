/**
 * One `limner up` a state folder: two gateways would write the same database files.
 * @module
 */
import { join } from 'node:path';
import { takeLock } from '../../lib/process-lock.ts';
import { UserError } from '../../lib/user-error.ts';

/**
 * Claims a state folder for this process.
 * @returns gives it back
 * @throws {UserError} when another process has it
 */
export const lockState = (dir: string): (() => void) => {
	const lock = takeLock(join(dir, 'up.pid'));
	if (lock.ok) return lock.release;
	throw new UserError(`Another limner (process ${lock.pid}) runs on ${dir}; stop it first, or choose another folder with --state-dir.`);
};

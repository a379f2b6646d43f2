/**
 * The node's log: JSON lines in a file. A log that cannot be written never stops the work.
 * @module
 */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { pino, type Logger } from 'pino';
import { rotate } from './rotate.ts';

export type { Logger } from 'pino';

export const silentLog = (): Logger => pino({ level: 'silent' });

const SIZE_CHECK_MS = 60_000;

/** Appends to a file; each line has `time` in ISO 8601. */
export const fileLog = (file: string, level = 'info'): Logger => {
	mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
	rotate(file);
	const destination = pino.destination({ dest: file, sync: true, append: true, mode: 0o600 });
	destination.on('error', () => undefined);
	setInterval(() => {
		if (rotate(file)) destination.reopen();
	}, SIZE_CHECK_MS).unref();
	return pino({ level, base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime }, destination);
};

/**
 * One process a folder. The lock is a file that names its owner so that a process which died without tidying up, or
 * whose number now means another program, does not stand in the way: pid, the boot that the pid belongs to, and when the
 * process started.
 * @module
 */
import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { errorCode } from './user-error.ts';

export interface LockOwner {
	pid: number;
	/** Differs after every start of the machine; empty where the system does not tell. */
	bootId: string;
	/** Start of the process in clock ticks since the boot, empty where the system does not tell: pids are used again. */
	startedAt: string;
}

const readText = (path: string): string | undefined => {
	try {
		return readFileSync(path, 'utf8');
	} catch {
		return undefined;
	}
};

/** Field 22 of `/proc/<pid>/stat`; the second one is a name in brackets that may hold spaces and brackets. */
export const startTicks = (stat: string): string => stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';

/** What the system tells of a process now. */
const identify = (pid: number): LockOwner => ({
	pid,
	bootId: readText('/proc/sys/kernel/random/boot_id')?.trim() ?? '',
	startedAt: startTicks(readText(`/proc/${pid}/stat`) ?? ''),
});

const isAlive = (pid: number): boolean => {
	try {
		process.kill(pid, 0);
		return true;
	} catch (error) {
		return errorCode(error) === 'EPERM';
	}
};

/** Reads a lock's text; files of older versions hold the pid alone. */
export const parseOwner = (text: string): LockOwner | undefined => {
	const trimmed = text.trim();
	if (/^\d+$/.test(trimmed)) return { pid: Number(trimmed), bootId: '', startedAt: '' };
	try {
		const value: unknown = JSON.parse(trimmed);
		if (typeof value !== 'object' || value === null || !('pid' in value) || !Number.isSafeInteger(value.pid)) return undefined;
		const { pid, bootId = '', startedAt = '' }: { pid: unknown; bootId?: unknown; startedAt?: unknown } = value;
		return { pid: Number(pid), bootId: String(bootId), startedAt: String(startedAt) };
	} catch {
		return undefined;
	}
};

const same = (told: string, now: string): boolean => told === '' || now === '' || told === now;

/**
 * Whether the owner that a lock names still runs.
 * @param now what the system says of that pid, undefined when no process has it
 */
export const stillRuns = (owner: LockOwner, now: LockOwner | undefined): boolean =>
	now !== undefined && owner.pid > 0 && same(owner.bootId, now.bootId) && same(owner.startedAt, now.startedAt);

/** A lock without a start time is trusted only if the process looks like ours. */
const looksLikeOurs = (owner: LockOwner): boolean => {
	if (owner.startedAt !== '' || process.platform !== 'linux') return true;
	const command = readText(`/proc/${owner.pid}/cmdline`);
	return command === undefined || /limner|cli\/main\.ts/.test(command);
};

const ownerIn = (text: string | undefined): LockOwner | undefined => {
	const owner = text === undefined ? undefined : parseOwner(text);
	if (owner === undefined) return undefined;
	const runs = stillRuns(owner, isAlive(owner.pid) ? identify(owner.pid) : undefined);
	return runs && looksLikeOurs(owner) ? owner : undefined;
};

/** The process that holds the lock now, or nothing. */
export const lockOwner = (file: string): LockOwner | undefined => ownerIn(readText(file));

export type LockResult = { ok: true; release: () => void } | { ok: false; pid: number };

const TRIES = 5;

/**
 * Takes the lock, recovering one whose owner is gone.
 * @throws the system's error when the file cannot be written
 */
export const takeLock = (file: string): LockResult => {
	const mine = `${JSON.stringify(identify(process.pid))}\n`;
	const draft = `${file}.${process.pid}.${randomUUID().slice(0, 8)}`;
	writeFileSync(draft, mine, { mode: 0o600 });
	try {
		for (let attempt = 0; attempt < TRIES; attempt++) {
			if (linkOrRename(draft, file)) return { ok: true, release: () => releaseLock(file, mine) };
			const text = readFileSync(file, 'utf8');
			const owner = ownerIn(text);
			if (owner !== undefined && owner.pid !== process.pid) return { ok: false, pid: owner.pid };
			removeStale(file, text);
		}
	} finally {
		rmSync(draft, { force: true });
	}
	return { ok: false, pid: lockOwner(file)?.pid ?? 0 };
};

/** Puts the draft in place unless there is a lock: a link is made with its text in it, and never over another. */
const linkOrRename = (draft: string, file: string): boolean => {
	try {
		linkSync(draft, file);
		return true;
	} catch (error) {
		if (errorCode(error) === 'EEXIST') return false;
		// File systems without links (FAT, some network ones): exclusive creation, whose text comes a moment later.
		return createExclusively(file, readFileSync(draft, 'utf8'));
	}
};

const createExclusively = (file: string, text: string): boolean => {
	try {
		writeFileSync(file, text, { mode: 0o600, flag: 'wx' });
		return true;
	} catch (error) {
		if (errorCode(error) === 'EEXIST') return false;
		throw error;
	}
};

/** Two processes may find the same stale lock: each moves what it finds aside, and puts back what it did not mean. */
const removeStale = (file: string, seen: string): void => {
	const aside = `${file}.${process.pid}.stale`;
	try {
		renameSync(file, aside);
	} catch {
		// Another process was quicker.
		return;
	}
	if (readText(aside) !== seen) {
		try {
			linkSync(aside, file);
		} catch {
			// A third one has it by now.
		}
	}
	rmSync(aside, { force: true });
};

const releaseLock = (file: string, mine: string): void => {
	if (readText(file) === mine) rmSync(file, { force: true });
};

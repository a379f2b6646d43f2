/**
 * Loaded into a node's processes before anything else (`--import`): a wall clock that the test can set, and, where no
 * small disk can be mounted, writes that fail as on a full one. Monotonic time goes on undisturbed, as on a machine
 * whose clock is set.
 *
 * `CHAOS_CONTROL` names a JSON file `{ clockMs, diskFull }`; it is read when it changes.
 * @module
 */
import fs from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { sep } from 'node:path';

interface Control {
	clockMs: number;
	/** Writes below this folder fail; absent = none do. */
	diskFull?: string;
}

const file = process.env['CHAOS_CONTROL'] ?? '';
const POLL_MS = 100;
let control: Control = { clockMs: 0 };
const RealDate = Date;
const readReal = fs.readFileSync;

const read = (): void => {
	try {
		control = JSON.parse(readReal(file, 'utf8')) as Control;
	} catch {
		// Being written just now; the next look finds it whole.
	}
};

class ShiftedDate extends RealDate {
	constructor(...args: unknown[]) {
		super(...((args.length === 0 ? [RealDate.now() + control.clockMs] : args) as [number]));
	}
	static override now(): number {
		return RealDate.now() + control.clockMs;
	}
}

const fullError = (path: string): NodeJS.ErrnoException =>
	Object.assign(new Error(`ENOSPC: no space left on device, open '${path}'`), { code: 'ENOSPC', errno: -28, syscall: 'open', path });
const isFull = (path: unknown): path is string =>
	control.diskFull !== undefined && typeof path === 'string' && path.startsWith(control.diskFull + sep);
const writes = (flags: unknown): boolean => typeof flags === 'string' && /[wa+]/.test(flags);

/** Opening for writing is where a full disk shows for small files. */
const failOpens = (): void => {
	const promises = createRequire(import.meta.url)('node:fs/promises') as typeof fs.promises;
	const { open, writeFile } = promises;
	promises.open = async (path, flags, mode) => {
		if (isFull(path) && writes(flags)) throw fullError(path);
		return open(path, flags, mode);
	};
	promises.writeFile = async (path, data, options) => {
		if (isFull(path)) throw fullError(path);
		return writeFile(path, data, options);
	};
	syncBuiltinESMExports();
};

if (file !== '') {
	read();
	setInterval(read, POLL_MS).unref();
	globalThis.Date = ShiftedDate as DateConstructor;
	failOpens();
}

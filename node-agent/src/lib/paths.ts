/**
 * Where things are: what the user's relative paths mean, and the default folders.
 * @module
 */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** Folder that relative paths of the user mean: where npm was called, not where the script lives. */
export const callerFolder = (): string => process.env['INIT_CWD'] ?? process.cwd();

/** Absolute path of a path that the user gave; `~/` is the home folder. */
export const userPath = (path: string): string =>
	path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : resolve(callerFolder(), path);

/** Folder for state of a node that was given none. */
export const defaultStateDir = (): string => {
	if (process.platform === 'win32') return join(process.env['LOCALAPPDATA'] ?? homedir(), 'limner', 'node');
	return join(process.env['XDG_STATE_HOME'] ?? join(homedir(), '.local', 'state'), 'limner', 'node');
};

/** What `limner login` keeps. */
export const loginFile = (): string => {
	const base =
		process.platform === 'win32' ? (process.env['APPDATA'] ?? homedir()) : (process.env['XDG_CONFIG_HOME'] ?? join(homedir(), '.config'));
	return join(base, 'limner', 'config.json');
};

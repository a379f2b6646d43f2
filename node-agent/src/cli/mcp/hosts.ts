/**
 * Where MCP hosts keep their servers, and how a server is written there. Pure.
 * @module
 */
import { join } from 'node:path';

export const HOSTS = ['claude-desktop', 'claude-code', 'cursor', 'vscode'] as const;
export type Host = (typeof HOSTS)[number];

export interface Place {
	platform: string;
	home: string;
	env: NodeJS.Dict<string>;
}

/** Folder of a program's settings on this system. */
const settingsFolder = ({ platform, home, env }: Place): string => {
	if (platform === 'darwin') return join(home, 'Library', 'Application Support');
	if (platform === 'win32') return env['APPDATA'] ?? join(home, 'AppData', 'Roaming');
	return env['XDG_CONFIG_HOME'] ?? join(home, '.config');
};

/** The file of the user's own settings: none of them lies in a project, where a key could be committed. */
export const configFile = (host: Host, place: Place): string => {
	if (host === 'claude-desktop') return join(settingsFolder(place), 'Claude', 'claude_desktop_config.json');
	if (host === 'claude-code') return join(place.home, '.claude.json');
	if (host === 'cursor') return join(place.home, '.cursor', 'mcp.json');
	return join(settingsFolder(place), 'Code', 'User', 'mcp.json');
};

/** Field of the file that holds the servers. */
export const fieldOf = (host: Host): string => (host === 'vscode' ? 'servers' : 'mcpServers');

export interface Launch {
	command: string;
	args: string[];
	env: Record<string, string>;
}

/** Entry for a server that the host starts. */
export const stdioEntry = (host: Host, launch: Launch): object =>
	host === 'vscode' || host === 'claude-code' ? { type: 'stdio', ...launch } : { ...launch };

/** Entry for a server that the host calls over HTTP. */
export const httpEntry = (host: Host, url: string, key: string): object => ({
	...(host === 'cursor' ? {} : { type: 'http' }),
	url: `${url}/mcp`,
	headers: { Authorization: `Bearer ${key}` },
});

/**
 * The file's text with one server set; everything else stays.
 * @param text of the file; empty when there is none
 * @throws {SyntaxError} when the text is not JSON
 * @throws {TypeError} when it is no object, or its field of servers is none
 */
export const mergeServer = (text: string, field: string, name: string, entry: object): string => {
	const value: unknown = text.trim() === '' ? {} : JSON.parse(text);
	if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError('it does not hold a JSON object');
	const config = value as Record<string, unknown>;
	const servers = config[field] ?? {};
	if (typeof servers !== 'object' || Array.isArray(servers)) throw new TypeError(`"${field}" in it is no object`);
	const indent = /\n(\s+)"/.exec(text)?.[1] ?? '  ';
	return `${JSON.stringify({ ...config, [field]: { ...servers, [name]: entry } }, null, indent)}\n`;
};

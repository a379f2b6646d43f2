import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { installServer } from './command.ts';
import { configFile, fieldOf, HOSTS, httpEntry, mergeServer, stdioEntry } from './hosts.ts';

const entry = { command: 'node' };

describe('mergeServer', () => {
	it('keeps everything else, and the indentation', () => {
		const before = '{\n\t"theme": "dark",\n\t"mcpServers": {\n\t\t"other": { "command": "x" }\n\t}\n}\n';
		const after = mergeServer(before, 'mcpServers', 'limner', entry);
		expect(JSON.parse(after)).toEqual({ theme: 'dark', mcpServers: { other: { command: 'x' }, limner: entry } });
		expect(after).toContain('\n\t"theme"');
	});

	it('begins a file, and replaces an older entry', () => {
		const first = mergeServer('', 'servers', 'limner', { command: 'old' });
		expect(JSON.parse(mergeServer(first, 'servers', 'limner', entry))).toEqual({ servers: { limner: entry } });
	});

	it.each(['{ // comment\n}', '[]', '"x"', '{"servers": []}', 'null'])('refuses %s', (text) => {
		expect(() => mergeServer(text, 'servers', 'limner', entry)).toThrow(/JSON|object/);
	});
});

describe('places', () => {
	it.each(HOSTS)('%s keeps its servers in the user’s own folder', (host) => {
		for (const platform of ['linux', 'darwin', 'win32']) {
			expect(configFile(host, { platform, home: '/home/me', env: {} })).toMatch(/^\/home\/me\//);
		}
	});

	it('entries have what each host reads', () => {
		const launch = { command: 'node', args: ['a'], env: { A: '1' } };
		expect(stdioEntry('claude-desktop', launch)).toEqual(launch);
		expect(stdioEntry('vscode', launch)).toEqual({ type: 'stdio', ...launch });
		expect(httpEntry('cursor', 'http://g', 'k')).toEqual({ url: 'http://g/mcp', headers: { Authorization: 'Bearer k' } });
		expect(httpEntry('vscode', 'http://g', 'k')).toMatchObject({ type: 'http' });
	});
});

describe('the entries in docs/clients.md', () => {
	const text = readFileSync(join(import.meta.dirname, '../../../../docs/clients.md'), 'utf8');
	const [cursor, vscode, desktop] = [...text.matchAll(/```json\n(.*?)```/gs)].map(([, json = '']) => JSON.parse(json) as unknown);
	const [url, key] = ['http://localhost:8787', 'lk_…'];

	it('are those that install writes', () => {
		for (const [host, written] of [
			['cursor', cursor],
			['vscode', vscode],
		] as const)
			expect(written).toEqual({ [fieldOf(host)]: { limner: httpEntry(host, url, key) } });
		const args = ['--disable-warning=ExperimentalWarning', '/path/to/limner/node-agent/src/mcp/main.ts'];
		const launch = { command: 'node', args, env: { LIMNER_URL: url, LIMNER_API_KEY: key } };
		expect(desktop).toEqual({ mcpServers: { limner: stdioEntry('claude-desktop', launch) } });
	});
});

describe('installServer', () => {
	let folder: string;
	beforeEach(() => {
		folder = mkdtempSync(join(tmpdir(), 'limner-mcp-'));
	});
	afterEach(() => rmSync(folder, { recursive: true, force: true }));

	it('makes a file that only its owner reads, and folders above it', async () => {
		const file = join(folder, 'a/b/mcp.json');
		expect(await installServer(file, 'cursor', 'limner', entry)).toEqual({ backup: undefined });
		expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ mcpServers: { limner: entry } });
		expect(statSync(file).mode & 0o777).toBe(0o600);
	});

	it('keeps what was there, and its rights', async () => {
		const file = join(folder, 'mcp.json');
		writeFileSync(file, '{"mcpServers": {"a": {}}}', { mode: 0o640 });
		const { backup } = await installServer(file, 'cursor', 'limner', entry);
		expect(readFileSync(backup ?? '', 'utf8')).toBe('{"mcpServers": {"a": {}}}');
		expect(statSync(file).mode & 0o777).toBe(0o640);
	});

	it('leaves a file that it does not understand as it is, and says what to add', async () => {
		const file = join(folder, 'mcp.json');
		writeFileSync(file, '{ // mine\n}');
		await expect(installServer(file, 'vscode', 'limner', entry)).rejects.toThrow(/left as it is.*"servers" by hand:\n.*"limner"/s);
		expect(readFileSync(file, 'utf8')).toBe('{ // mine\n}');
	});
});

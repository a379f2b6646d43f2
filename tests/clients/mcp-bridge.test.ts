/** `limner-mcp` as a host starts it: the official client over its pipes, with a gateway and without. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as StdioV1 } from '@modelcontextprotocol/sdk/client/stdio.js';
import { unzipSync } from 'fflate';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { writeMcpb } from '../../scripts/mcpb.ts';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';

const MAIN = join(projectRoot(), 'node-agent/src/mcp/main.ts');
const CLI = join(projectRoot(), 'node-agent/src/cli/main.ts');
const NODE = ['--disable-warning=ExperimentalWarning'];

let gateway: TestGateway;
let node: TestNode;
let folder: string;
beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), 'limner-bridge-'));
	gateway = await startTestGateway();
	node = await startTestNode(gateway, { name: 'bridge', stepMs: 15 });
});
afterAll(async () => {
	await node?.stop();
	await gateway?.stop();
	rmSync(folder, { recursive: true, force: true });
});

const env = (url = gateway.url, key = gateway.key): Record<string, string> => ({
	PATH: process.env['PATH'] ?? '',
	HOME: folder,
	XDG_CONFIG_HOME: folder,
	INIT_CWD: folder,
	LIMNER_URL: url,
	LIMNER_API_KEY: key,
});
const modern = async (url?: string, key?: string): Promise<Client> => {
	const client = new Client({ name: 'host', version: '1' }, { versionNegotiation: { mode: 'auto' } });
	await client.connect(
		new StdioClientTransport({ command: process.execPath, args: [...NODE, MAIN], env: env(url, key), stderr: 'ignore' }),
	);
	return client;
};

it('makes a picture for a client of today', async () => {
	const client = await modern();
	expect(client.getNegotiatedProtocolVersion()).toBe('2026-07-28');
	const told: number[] = [];
	const result = await client.callTool(
		{ name: 'generate_image', arguments: { prompt: 'through the pipe', steps: 40 } },
		{ onprogress: ({ progress }) => told.push(progress) },
	);
	expect(result.structuredContent).toMatchObject({ status: 'succeeded' });
	expect(told.length).toBeGreaterThan(1);
	await client.close();
});

it('makes a picture for a client of the older SDK', async () => {
	const client = new ClientV1({ name: 'host', version: '1' });
	await client.connect(new StdioV1({ command: process.execPath, args: [...NODE, CLI, 'mcp'], env: env(), stderr: 'ignore' }));
	const result = await client.callTool({ name: 'generate_image', arguments: { prompt: 'through the older pipe' } });
	expect(result.structuredContent).toMatchObject({ status: 'succeeded' });
	await client.close();
});

it('without a gateway lists the same tools and says how to start one', async () => {
	const client = await modern('http://127.0.0.1:9');
	const { tools } = await client.listTools();
	const online = await modern();
	const listed = (await online.listTools()).tools.map(({ name }) => name).filter((name) => !/pool|coordination|isolation/.test(name));
	expect(tools.map(({ name }) => name)).toEqual(expect.arrayContaining(listed));
	const result = await client.callTool({ name: 'generate_image', arguments: { prompt: 'x' } });
	expect(result.isError).toBe(true);
	expect(JSON.stringify(result.content)).toContain('npm start');
	await client.close();
	await online.close();
});

it('writes nothing but JSON-RPC', async () => {
	const child = spawn(process.execPath, [...NODE, MAIN], { env: env(), stdio: ['pipe', 'pipe', 'ignore'] });
	let out = '';
	child.stdout.on('data', (chunk) => (out += String(chunk)));
	const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
	const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 't', version: '1' } };
	child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params })}\nnonsense\n`);
	await expect.poll(() => out.split('\n').length, { timeout: 30_000 }).toBeGreaterThan(2);
	child.stdin.end();
	expect(await ended).toBe(0);
	for (const line of out.trimEnd().split('\n')) expect(JSON.parse(line)).toMatchObject({ jsonrpc: '2.0' });
});

it('what install writes is what a host can start', async () => {
	const file = join(folder, 'claude.json');
	const install = spawn(process.execPath, [...NODE, CLI, 'mcp', 'install', 'claude-desktop', '--config', file], {
		env: env(),
		stdio: 'ignore',
	});
	expect(await new Promise((resolve) => install.on('exit', resolve))).toBe(0);
	const { mcpServers } = JSON.parse(readFileSync(file, 'utf8')) as {
		mcpServers: { limner: { command: string; args: string[]; env: Record<string, string> } };
	};
	const { command, args, env: own } = mcpServers.limner;
	const client = new Client({ name: 'host', version: '1' });
	// As a host does: elsewhere, with an environment of its own.
	await client.connect(
		new StdioClientTransport({ command, args, env: { PATH: '', HOME: folder, ...own }, cwd: tmpdir(), stderr: 'ignore' }),
	);
	const result = await client.callTool({ name: 'list_models', arguments: {} });
	expect(JSON.stringify(result.structuredContent)).toContain('storybook');
	await client.close();
});

it('the bundle’s server runs by itself, as its manifest says', async () => {
	const files = unzipSync(readFileSync(await writeMcpb(folder)));
	const installed = join(folder, 'installed');
	mkdirSync(join(installed, 'server'), { recursive: true });
	for (const [name, bytes] of Object.entries(files)) writeFileSync(join(installed, name), bytes);
	const { server, tools } = JSON.parse(readFileSync(join(installed, 'manifest.json'), 'utf8')) as {
		server: { mcp_config: { args: string[]; env: Record<string, string> } };
		tools: { name: string }[];
	};
	const values: Record<string, string> = { __dirname: installed, 'user_config.url': gateway.url, 'user_config.api_key': gateway.key };
	const filled = (text: string): string => text.replaceAll(/\$\{([\w.]+)\}/g, (_all, name: string) => values[name] ?? '');
	const own = Object.fromEntries(Object.entries(server.mcp_config.env).map(([name, value]) => [name, filled(value)]));
	const client = new Client({ name: 'host', version: '1' });
	const args = server.mcp_config.args.map(filled);
	await client.connect(
		new StdioClientTransport({ command: process.execPath, args, env: { HOME: folder, ...own }, cwd: tmpdir(), stderr: 'ignore' }),
	);
	const listed = await client.listTools();
	expect(listed.tools.map(({ name }) => name)).toEqual(expect.arrayContaining(tools.map(({ name }) => name)));
	const models = await client.callTool({ name: 'list_models', arguments: {} });
	expect(JSON.stringify(models.structuredContent)).toContain('storybook');
	await client.close();
});

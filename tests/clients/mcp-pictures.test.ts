/** Pictures that MCP clients make with the embedded model: the steps that the engine ran, and edits that resemble their input. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { McpGeneration } from '@limner/shared';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { correlation, download } from './pictures.ts';

let gateway: TestGateway;
let node: TestNode;
beforeAll(async () => {
	gateway = await startTestGateway();
	node = await startTestNode(gateway, { name: 'storybook', engine: 'onnx' });
});
afterAll(async () => {
	await node?.stop();
	await gateway?.stop();
});

/** A call of a tool, with the structured part of its answer. */
type Call = (name: string, args: Record<string, unknown>) => Promise<McpGeneration>;

const requestInit = (): RequestInit => ({ headers: { authorization: `Bearer ${gateway.key}` } });
const endpoint = (): URL => new URL(`${gateway.url}/mcp`);

const sdk2 = async (options: object): Promise<Call> => {
	const client = new Client({ name: 'test', version: '1' }, options);
	await client.connect(new StreamableHTTPClientTransport(endpoint(), { requestInit: requestInit() }));
	return async (name, args) => (await client.callTool({ name, arguments: args })).structuredContent as McpGeneration;
};
const sdk1 = async (): Promise<Call> => {
	const client = new ClientV1({ name: 'test', version: '1' });
	await client.connect(new TransportV1(endpoint(), { requestInit: requestInit() }));
	return async (name, args) => (await client.callTool({ name, arguments: args })).structuredContent as McpGeneration;
};
const inspector = async (): Promise<Call> => async (name, args) => {
	const bin = join(projectRoot(), 'node_modules/.bin/mcp-inspector');
	const header = ['--header', `Authorization: Bearer ${gateway.key}`];
	const tool = ['--method', 'tools/call', '--tool-name', name, '--tool-args-json', JSON.stringify(args), '--format', 'json'];
	const { stdout } = await promisify(execFile)(bin, ['--cli', endpoint().href, '--transport', 'http', ...header, ...tool], {
		timeout: 120_000,
		maxBuffer: 16 * 1024 ** 2,
	});
	const parsed = JSON.parse(stdout.slice(stdout.indexOf('{'))) as {
		structuredContent?: McpGeneration;
		result?: { structuredContent: McpGeneration };
	};
	const one = parsed.structuredContent ?? parsed.result?.structuredContent;
	if (one === undefined) throw new Error(stdout.slice(0, 500));
	return one;
};

const stepsOf = (jobId: string): number => node.engineLog().filter((one) => one.jobId === jobId && one.event === 'step').length;

it.each([
	['SDK 2, protocol of 2026-07-28', () => sdk2({ versionNegotiation: { mode: 'auto' } })],
	['SDK 2, older protocol', () => sdk2({})],
	['SDK 1', sdk1],
	['Inspector', inspector],
])('%s', async (name, connect) => {
	const call = await connect();
	const made = await call('generate_image', {
		prompt: 'a red castle in the mountains in the snow',
		steps: 9,
		seed: 5,
		idempotency_key: `${name} 1`,
	});
	expect(made).toMatchObject({ status: 'succeeded', params: { task: 'txt2img', steps: 9 } });
	expect(stepsOf(made.job_id)).toBe(9);
	const picture = await download(made.images[0]?.url ?? '');
	const other = await call('generate_image', { prompt: 'a fish in the sea', steps: 9, seed: 77, idempotency_key: `${name} 2` });
	const edit = { prompt: 'a red castle at night', image: made.images[0]?.image_id, strength: 0.4, steps: 20, seed: 6 };
	const changed = await call('generate_image', { ...edit, idempotency_key: `${name} 3` });
	expect(changed).toMatchObject({ status: 'succeeded', params: { task: 'img2img', strength: 0.4 } });
	expect(stepsOf(changed.job_id)).toBe(8);
	const result = await download(changed.images[0]?.url ?? '');
	expect(result.equals(picture)).toBe(false);
	const resembles = await correlation(picture, result);
	expect(resembles).toBeGreaterThan(0.5);
	expect(await correlation(await download(other.images[0]?.url ?? ''), result)).toBeLessThan(resembles);
});

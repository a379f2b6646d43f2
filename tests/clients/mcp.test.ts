/** Unmodified MCP clients against a running gateway and a node: the SDK of today in both eras, the SDK before it, the Inspector. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client, StreamableHTTPClientTransport, type CallToolResult } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { JobView, McpGeneration } from '@limner/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { until } from '../lib/until.ts';

const TOOLS = [
	'generate_image',
	'get_generation',
	'regenerate',
	'view_image',
	'cancel_generation',
	'list_generations',
	'upload_image',
	'list_models',
	'get_usage',
	'submit_workflow',
];
const STEP_MS = 25;

let gateway: TestGateway;
let node: TestNode;
beforeAll(async () => {
	gateway = await startTestGateway();
	node = await startTestNode(gateway, { name: 'mcp', stepMs: STEP_MS, slots: 2 });
});
afterAll(async () => {
	await node?.stop();
	await gateway?.stop();
});

type Text = { type: string; text?: string };
const textOf = (result: CallToolResult): string => (result.content as Text[]).flatMap((block) => block.text ?? []).join('\n');
const generationOf = (result: CallToolResult): McpGeneration => result.structuredContent as McpGeneration;
const stepsOf = (jobId: string): number => node.engineLog().filter((event) => event.jobId === jobId && event.event === 'step').length;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const download = async (url: string): Promise<Uint8Array> => new Uint8Array(await (await fetch(url)).arrayBuffer());

const connect = async (era: 'modern' | 'legacy', key = gateway.key): Promise<Client> => {
	const client = new Client({ name: 'test', version: '1' }, era === 'modern' ? { versionNegotiation: { mode: 'auto' } } : {});
	await client.connect(
		new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`), { requestInit: { headers: { authorization: `Bearer ${key}` } } }),
	);
	return client;
};

describe.each(['modern', 'legacy'] as const)('SDK 2, %s protocol', (era) => {
	let client: Client;
	beforeAll(async () => {
		client = await connect(era);
	});
	afterAll(() => client?.close());

	it('negotiates its protocol and lists the tools', async () => {
		expect(client.getNegotiatedProtocolVersion()).toBe(era === 'modern' ? '2026-07-28' : '2025-11-25');
		const { tools } = await client.listTools();
		const names = tools.map(({ name }) => name);
		expect(names.slice(0, TOOLS.length)).toEqual(TOOLS);
		for (const tool of tools) {
			expect(tool.annotations, tool.name).toMatchObject({ readOnlyHint: expect.any(Boolean), destructiveHint: expect.any(Boolean) });
			expect(tool.icons?.length, tool.name).toBeGreaterThan(0);
			expect(tool.outputSchema, tool.name).toMatchObject({ type: 'object' });
			expect(tool.description?.length, tool.name).toBeLessThan(2048);
		}
	});

	it('makes a picture, telling progress that only grows', async () => {
		const told: number[] = [];
		const result = await client.callTool(
			{ name: 'generate_image', arguments: { prompt: `a castle, ${era}`, steps: 60, seed: 5 } },
			{ onprogress: ({ progress }) => told.push(progress) },
		);
		const one = generationOf(result);
		expect(one, textOf(result)).toMatchObject({ status: 'succeeded', progress: 100, params: { steps: 60, seed: 5, n: 1 } });
		expect(told.length).toBeGreaterThan(2);
		expect(told.every((value, i) => i === 0 || value > (told[i - 1] ?? 0))).toBe(true);
		expect(stepsOf(one.job_id)).toBe(60);
		const [image] = one.images;
		expect(sha256(await download(image!.url))).toBe(image!.sha256);
		expect(textOf(result)).toContain(image!.url);
		const types = (result.content as Text[]).map(({ type }) => type);
		expect(types).toEqual(['text', 'resource_link', 'image']);
		expect(JSON.stringify(result).length).toBeLessThan(150_000);
	});

	it('hands over what takes longer than it may wait, and resumes', async () => {
		const first = await client.callTool({
			name: 'generate_image',
			arguments: { prompt: `slow, ${era}`, steps: 100, wait_seconds: 1 },
		});
		const running = generationOf(first);
		expect(running.status).toBe('running');
		expect(running.poll_after_seconds).toBeGreaterThan(0);
		expect(textOf(first)).toContain('get_generation');
		const second = await client.callTool({
			name: 'get_generation',
			arguments: { job_id: running.job_id, wait_seconds: 40 },
		});
		expect(generationOf(second)).toMatchObject({ job_id: running.job_id, status: 'succeeded' });
		expect(stepsOf(running.job_id)).toBe(100);
	});

	it('makes one job of equal calls, and another of unequal ones', async () => {
		const call = (args: object): Promise<McpGeneration> =>
			client.callTool({ name: 'generate_image', arguments: { prompt: `twice, ${era}`, ...args } }).then((result) => generationOf(result));
		const [a, b] = await Promise.all([call({}), call({})]);
		const c = await call({});
		expect(new Set([a.job_id, b.job_id, c.job_id]).size).toBe(1);
		expect(c.repeated).toBe(true);
		expect((await call({ seed: 99 })).job_id).not.toBe(a.job_id);
		const keyed = [await call({ idempotency_key: `k-${era}-1` }), await call({ idempotency_key: `k-${era}-2` })];
		expect(new Set(keyed.map(({ job_id }) => job_id)).size).toBe(2);
	});

	it('hanging up cancels the job in the modern protocol, and leaves it running in the older ones', async () => {
		const own = await connect(era);
		const abort = new AbortController();
		const call = own
			.callTool({ name: 'generate_image', arguments: { prompt: `given up, ${era}`, steps: 150 } }, { signal: abort.signal })
			.catch(() => undefined);
		const find = async (): Promise<JobView | undefined> => {
			const { body } = await gateway.api<{ data: JobView[] }>('GET', '/api/v1/jobs?limit=5');
			return body.data.find(({ request }) => request.prompt === `given up, ${era}`);
		};
		const job = await until('the job runs', async () => {
			const found = await find();
			return found !== undefined && stepsOf(found.id) > 2 ? found : undefined;
		});
		abort.abort();
		await call;
		await own.close();
		const ended = await gateway.jobEnded(job.id);
		expect(ended.state).toBe(era === 'modern' ? 'canceled' : 'succeeded');
		expect(stepsOf(job.id) === 150).toBe(era === 'legacy');
	});

	it('changes a picture by id, address or upload, and refuses what is none', async () => {
		const made = generationOf(await client.callTool({ name: 'generate_image', arguments: { prompt: `base, ${era}` } }));
		const [image] = made.images;
		const bytes = Buffer.from(await download(image!.url)).toString('base64');
		const uploaded = await client.callTool({ name: 'upload_image', arguments: { data: bytes } });
		const { asset_id } = uploaded.structuredContent as { asset_id: string };
		for (const source of [image!.image_id, image!.url, asset_id]) {
			const result = await client.callTool({
				name: 'generate_image',
				arguments: { prompt: `changed, ${era}, ${source.slice(0, 6)}`, image: source, mask: image!.image_id, strength: 0.5, steps: 4 },
			});
			expect(generationOf(result), textOf(result)).toMatchObject({ status: 'succeeded', params: { task: 'inpaint', strength: 0.5 } });
		}
		for (const source of ['http://169.254.169.254/latest', 'https://10.0.0.1/a.png', 'http://localhost/a.png', 'file:///etc/passwd']) {
			const refused = await client.callTool({ name: 'generate_image', arguments: { prompt: 'x', image: source } });
			expect(refused.isError).toBe(true);
		}
	});

	it('regenerates with another seed, keeps what is not changed', async () => {
		const made = generationOf(await client.callTool({ name: 'generate_image', arguments: { prompt: `again, ${era}`, steps: 5, seed: 3 } }));
		const again = generationOf(
			await client.callTool({ name: 'regenerate', arguments: { id: made.images[0]!.image_id, guidance_scale: 3 } }),
		);
		expect(again.job_id).not.toBe(made.job_id);
		expect(again).toMatchObject({ prompt: `again, ${era}`, params: { steps: 5, guidance_scale: 3 } });
		expect(again.params.seed).not.toBe(3);
	});

	it('shows, lists, cancels, counts', async () => {
		const made = generationOf(await client.callTool({ name: 'generate_image', arguments: { prompt: `shown, ${era}` } }));
		const id = made.images[0]!.image_id;
		const seen = await client.callTool({ name: 'view_image', arguments: { image_id: id, max_dim: 64 } });
		const block = (seen.content as { type: string; data?: string; mimeType?: string }[]).find(({ type }) => type === 'image');
		const png = Buffer.from(block!.data!, 'base64');
		expect(Math.max(png.readUInt32BE(16), png.readUInt32BE(20))).toBe(64);
		const list = await client.callTool({ name: 'list_generations', arguments: { limit: 2 } });
		const page = list.structuredContent as { generations: McpGeneration[]; next_cursor: string | null };
		expect(page.generations[0]).toMatchObject({ job_id: made.job_id, prompt: `shown, ${era}` });
		expect(page.next_cursor).not.toBeNull();
		const models = await client.callTool({ name: 'list_models', arguments: {} });
		expect((models.structuredContent as { models: { name: string }[] }).models.length).toBeGreaterThan(0);
		const usage = await client.callTool({ name: 'get_usage', arguments: {} });
		expect((usage.structuredContent as { images: number }).images).toBeGreaterThan(0);
		const open = generationOf(
			await client.callTool({
				name: 'generate_image',
				arguments: { prompt: `stopped, ${era}`, steps: 150, wait_seconds: 0 },
			}),
		);
		const stopped = await client.callTool({ name: 'cancel_generation', arguments: { job_id: open.job_id } });
		expect(generationOf(stopped).status).toBe('canceled');
	});

	it('submits a workflow whose second job starts from the first one’s picture', async () => {
		const result = await client.callTool({
			name: 'submit_workflow',
			arguments: {
				name: `flow, ${era}`,
				jobs: [
					{ key: 'base', prompt: 'a castle', steps: 4 },
					{ key: 'snow', prompt: 'a castle in the snow', steps: 4, strength: 0.5, initImage: { job: 'base' } },
				],
			},
		});
		const { jobs } = result.structuredContent as { jobs: { key: string; job_id: string }[] };
		expect(
			jobs.map(({ key }) => key),
			textOf(result),
		).toEqual(['base', 'snow']);
		const last = await client.callTool({ name: 'get_generation', arguments: { job_id: jobs[1]!.job_id, wait_seconds: 40 } });
		expect(generationOf(last)).toMatchObject({ status: 'succeeded', params: { task: 'img2img' } });
	});

	it('tells mistakes as results that say what to do', async () => {
		const foreign = await client.callTool({ name: 'get_generation', arguments: { job_id: `job_${'0'.repeat(28)}` } });
		expect(foreign.isError).toBe(true);
		expect(textOf(foreign)).toContain('there is no job');
		const model = await client.callTool({
			name: 'generate_image',
			arguments: { prompt: 'x', model: 'nothing-like-it' },
		});
		expect(model.isError).toBe(true);
		expect(textOf(model)).toContain('storybook');
		const wrong = await client.callTool({ name: 'generate_image', arguments: { prompt: 'x', steps: 0 } });
		expect(wrong.isError).toBe(true);
		expect(textOf(wrong)).toContain('steps');
	});

	it('has resources, completions, prompts and the view', async () => {
		const made = generationOf(await client.callTool({ name: 'generate_image', arguments: { prompt: `resource, ${era}` } }));
		const id = made.images[0]!.image_id;
		// The gallery has a picture as soon as its job is settled, a moment after it has ended.
		await until('the picture is listed', async () => {
			const { resources } = await client.listResources();
			return resources.some(({ uri }) => uri === `limner://images/${id}`) ? true : undefined;
		});
		const image = await client.readResource({ uri: `limner://images/${id}` });
		const [content] = image.contents as { blob: string }[];
		expect(sha256(Buffer.from(content!.blob, 'base64'))).toBe(made.images[0]!.sha256);
		const job = await client.readResource({ uri: `limner://jobs/${made.job_id}` });
		expect(JSON.parse((job.contents as { text: string }[])[0]!.text)).toMatchObject({ job_id: made.job_id, status: 'succeeded' });
		await expect(client.readResource({ uri: `limner://jobs/job_${'0'.repeat(28)}` })).rejects.toThrow('there is no job');
		const { completion } = await client.complete({
			ref: { type: 'ref/resource', uri: 'limner://images/{image_id}' },
			argument: { name: 'image_id', value: id.slice(0, 20) },
		});
		expect(completion.values).toContain(id);
		const { prompts } = await client.listPrompts();
		expect(prompts.map(({ name }) => name)).toEqual(['illustrate', 'explore', 'change', 'product_shot']);
		const prompt = await client.getPrompt({ name: 'illustrate', arguments: { scene: 'a fox', style: 'pixel art' } });
		expect(JSON.stringify(prompt.messages)).toContain('a fox, pixel art');
		const view = await client.readResource({ uri: 'ui://limner/generation.html' });
		expect(view.contents[0]).toMatchObject({ mimeType: 'text/html;profile=mcp-app' });
		const html = (view.contents as { text: string }[])[0]!.text;
		expect(html).not.toMatch(/https?:\/\//);
	});
});

it('refuses strangers', async () => {
	const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} });
	const post = (headers: Record<string, string>): Promise<Response> =>
		fetch(`${gateway.url}/mcp`, {
			method: 'POST',
			body,
			headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
		});
	const nobody = await post({});
	expect(nobody.status).toBe(401);
	const challenge = nobody.headers.get('www-authenticate') ?? '';
	expect(challenge).toContain('Bearer');
	const metadata = /resource_metadata="([^"]+)"/.exec(challenge)?.[1] ?? '';
	expect(await (await fetch(metadata)).json()).toMatchObject({ resource: `${gateway.url}/mcp`, bearer_methods_supported: ['header'] });
	expect((await post({ authorization: `Bearer ${gateway.key}`, origin: 'https://evil.example' })).status).toBe(403);
	const get = await fetch(`${gateway.url}/mcp`, { headers: { authorization: `Bearer ${gateway.key}`, accept: 'text/event-stream' } });
	expect(get.status).toBe(405);
});

it('the SDK before it (v1) makes a picture', async () => {
	const client = new ClientV1({ name: 'old', version: '1' });
	const transport = new TransportV1(new URL(`${gateway.url}/mcp`), {
		requestInit: { headers: { authorization: `Bearer ${gateway.key}` } },
	});
	await client.connect(transport);
	const { tools } = await client.listTools();
	expect(tools.map(({ name }) => name).slice(0, TOOLS.length)).toEqual(TOOLS);
	const told: number[] = [];
	const result = (await client.callTool({ name: 'generate_image', arguments: { prompt: 'from the old client', steps: 6 } }, undefined, {
		onprogress: ({ progress }) => told.push(progress),
		resetTimeoutOnProgress: true,
	})) as CallToolResult;
	expect(generationOf(result)).toMatchObject({ status: 'succeeded' });
	expect(stepsOf(generationOf(result).job_id)).toBe(6);
	expect(told.every((value, i) => i === 0 || value > (told[i - 1] ?? 0))).toBe(true);
	await client.close();
});

describe('the Inspector’s command line', () => {
	const run = promisify(execFile);
	const inspect = (...args: string[]): Promise<{ stdout: string }> =>
		run(
			join(projectRoot(), 'node_modules/.bin/mcp-inspector'),
			[
				'--cli',
				`${gateway.url}/mcp`,
				'--transport',
				'http',
				'--header',
				`Authorization: Bearer ${gateway.key}`,
				'--format',
				'json',
				...args,
			],
			{ timeout: 120_000, maxBuffer: 16 * 1024 ** 2 },
		);

	it('lists and calls', async () => {
		const listed = await inspect('--method', 'tools/list');
		expect(listed.stdout).toContain('generate_image');
		const called = await inspect('--method', 'tools/call', '--tool-name', 'generate_image', '--tool-arg', 'prompt=inspected', 'steps=4');
		expect(called.stdout).toContain('"succeeded"');
	});

	it('tells a tool’s failure by its exit code', async () => {
		const failing = inspect('--method', 'tools/call', '--tool-name', 'get_generation', '--tool-arg', `job_id=job_${'0'.repeat(28)}`);
		await expect(failing).rejects.toMatchObject({ code: 5 });
	});
});

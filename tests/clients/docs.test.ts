/** The calls to copy of docs/examples.md and docs/clients.md, as they stand there, against a gateway and a node. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { nativePx } from '../../node-agent/src/models/embedded.test-lib.ts';

const SIDE = nativePx();

const run = promisify(execFile);
let gateway: TestGateway;
let node: TestNode;
let folder = '';
beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), 'limner-docs-'));
	gateway = await startTestGateway();
	node = await startTestNode(gateway, { name: 'docs', engine: 'onnx' });
});
afterAll(async () => {
	await node?.stop();
	await gateway?.stop();
	rmSync(folder, { recursive: true, force: true });
});

/** Blocks of code below a heading, up to the next one. */
const blocks = (file: string, heading: string): string[] => {
	const text = readFileSync(join(projectRoot(), 'docs', file), 'utf8');
	const [, section = ''] = text.split(`\n## ${heading}\n`);
	return [...(section.split('\n## ')[0] ?? '').matchAll(/```text\n(.*?)```/gs)].map(([, code = '']) => code);
};

const shell = async (script: string): Promise<string> => {
	const env = {
		...process.env,
		PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}`,
		LIMNER_URL: gateway.url,
		LIMNER_API_KEY: gateway.key,
	};
	return (await run('bash', ['-euo', 'pipefail', '-c', script], { cwd: folder, env })).stdout;
};

it('curl: one picture, its events, and a part drawn anew', async () => {
	const [picture = '', events = '', paint = '', ...more] = blocks('examples.md', 'curl');
	expect(more).toEqual([]);
	await shell(picture);
	expect(await sharp(join(folder, 'lighthouse.png')).metadata()).toMatchObject({ format: 'png', width: SIDE, height: SIDE });
	const job = JSON.parse(readFileSync(join(folder, 'job.json'), 'utf8')) as { id: string };
	expect(await shell(events.replace('<job id>', job.id))).toMatch(/event: queued[^]*event: succeeded/);

	await sharp(join(folder, 'lighthouse.png')).toFile(join(folder, 'source.png'));
	const white = await sharp({ create: { width: 64, height: 64, channels: 3, background: '#fff' } })
		.png()
		.toBuffer();
	const black = sharp({ create: { width: SIDE, height: SIDE, channels: 3, background: '#000' } });
	writeFileSync(
		join(folder, 'mask.png'),
		await black
			.composite([{ input: white, left: 0, top: 0 }])
			.png()
			.toBuffer(),
	);
	expect(JSON.parse(await shell(paint))).toMatchObject({ state: 'succeeded', request: { task: 'inpaint', prompt: 'a red rocket' } });
});

it('curl: OpenAI’s address', async () => {
	const block = blocks('clients.md', 'Settings to copy').find((code) => code.startsWith('curl')) ?? '';
	const answer = JSON.parse(await shell(block.replace('http://localhost:8787', gateway.url))) as { data: { b64_json: string }[] };
	expect(await sharp(Buffer.from(answer.data[0]?.b64_json ?? '', 'base64')).metadata()).toMatchObject({ format: 'png', width: SIDE });
});

/** The packed package where it has to run besides Node: in a browser's page of another origin, and in a Worker. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { convertV4MiniflareOptions, Miniflare } from 'miniflare';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startBrowser } from '../../tests/browser/browser.ts';
import { startTestGateway, type TestGateway } from '../../tests/lib/gateway.ts';
import { startTestNode, type TestNode } from '../../tests/lib/node.ts';
import { installPacked } from './unpacked.ts';

let folder: string;
let gateway: TestGateway;
let node: TestNode;
let pages: Server;
let origin = '';
let script = '';

beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), 'limner-sdk-runtimes-'));
	installPacked(folder, 'react', 'react-dom');
	pages = createServer((request, response) => {
		const isScript = request.url === '/page.js';
		response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
		response.end(
			isScript ? script : '<!doctype html><title>SDK</title><div id="root"></div><script type="module" src="/page.js"></script>',
		);
	});
	await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve));
	origin = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;
	gateway = await startTestGateway({ CORS_ORIGINS: origin });
	node = await startTestNode(gateway, { name: 'runtimes', stepMs: 60 });
});
afterAll(async () => {
	await node?.stop();
	await gateway?.stop();
	pages?.close();
	rmSync(folder, { recursive: true, force: true });
});

const bundle = async (source: string, platform: 'browser' | 'neutral'): Promise<string> => {
	const file = join(folder, `${platform}.tsx`);
	writeFileSync(file, source);
	const { outputFiles } = await build({
		entryPoints: [file],
		bundle: true,
		write: false,
		format: 'esm',
		target: 'es2022',
		platform,
		mainFields: ['module', 'main'],
		jsx: 'automatic',
		define: { 'process.env.NODE_ENV': '"production"' },
	});
	return outputFiles[0]?.text ?? '';
};

const PAGE = `
import { createRoot } from 'react-dom/client';
import { Limner } from '@limner/sdk';
import { LimnerProvider, useGallery, useGeneration, useNodes } from '@limner/sdk/react';
const App = () => {
	const { generate, status, progress, previews, images } = useGeneration();
	const { nodes } = useNodes();
	const gallery = useGallery();
	return <main>
		<button onClick={() => void generate({ prompt: 'a red castle', seed: 7, steps: 20 })}>Go</button>
		<p id="status">{status}</p><p id="phase">{progress?.phase}</p>
		<ul>{(nodes ?? []).map((one) => <li key={one.id}>{one.name}</li>)}</ul>
		<ol>{Object.values(previews ?? {}).map((one, i) => <li key={i}><img src={one.dataUrl} className="preview" /></li>)}</ol>
		<section>{images.map((one) => <img key={one.id} src={one.url} id="picture" />)}</section>
		<p id="gallery">{gallery.images.length}</p>
	</main>;
};
window.start = (baseUrl, apiKey) => {
	const limner = new Limner({ baseUrl, apiKey });
	window.limner = limner;
	createRoot(document.getElementById('root')).render(<LimnerProvider client={limner}><App /></LimnerProvider>);
};
window.plain = async () => {
	const seen = { phases: [], previews: 0, fraction: 0 };
	const first = await window.limner.images.generate({ prompt: 'a fox', seed: 3, steps: 20 }, {
		onProgress: ({ phase, fraction }) => { seen.phases.push(phase); seen.fraction = fraction; },
		onPreview: ({ bytes }) => { if (bytes.length > 0) seen.previews++; },
	});
	const blob = await window.limner.gallery.blob(first.images[0].id);
	const asset = await window.limner.assets.upload(blob);
	const second = await window.limner.images.generate({ prompt: 'snow', initImage: blob, strength: 0.5, steps: 8 });
	const abort = new AbortController();
	const reason = await window.limner.images.generate({ prompt: 'stop', steps: 150 }, {
		signal: abort.signal, onProgress: ({ phase }) => { if (phase === 'denoising') abort.abort(new Error('enough')); },
	}).catch((error) => error.message);
	const { data } = await window.limner.jobs.list({ limit: 1 });
	return { ...seen, state: second.job.state, task: second.job.request.task, asset: asset.width, reason, canceled: data[0].state };
};
`;

it('a browser: generates with progress and previews, uploads, aborts; the hooks render', async () => {
	script = await bundle(PAGE, 'browser');
	const browser = await startBrowser();
	try {
		const page = await browser.newPage();
		const failures: string[] = [];
		page.on('pageerror', (error) => failures.push(error.message));
		await page.goto(origin);
		await page.waitForFunction('window.start !== undefined');
		await page.evaluate(`window.start(${JSON.stringify(gateway.url)}, ${JSON.stringify(gateway.key)})`);
		await page.getByText('runtimes').waitFor();
		await page.getByRole('button', { name: 'Go' }).click();
		await page.locator('img.preview').first().waitFor();
		await page.locator('#picture').waitFor({ timeout: 60_000 });
		await page.waitForFunction("document.querySelector('#picture').naturalWidth > 0");
		expect(await page.locator('#status').textContent()).toBe('succeeded');
		const seen = await page.evaluate<Record<string, unknown> & { phases: string[]; previews: number }>('window.plain()');
		expect(seen).toMatchObject({ fraction: 1, state: 'succeeded', task: 'img2img', reason: 'enough', canceled: 'canceled' });
		expect(seen.phases).toContain('denoising');
		expect(seen.previews).toBeGreaterThan(0);
		expect(seen['asset']).toBeGreaterThan(0);
		expect(failures).toEqual([]);
	} finally {
		await browser.close();
	}
});

const WORKER = `
import { Limner } from '@limner/sdk';
export default {
	async fetch(_request, env) {
		const limner = new Limner({ baseUrl: 'https://gateway.internal', apiKey: env.KEY, fetch: (url, init) => env.GATEWAY.fetch(url, init) });
		const phases = [];
		const { job, images } = await limner.images.generate({ prompt: 'a castle', seed: 7, steps: 4 }, { onProgress: ({ phase }) => phases.push(phase) });
		const bytes = await limner.gallery.bytes(images[0].id);
		const asset = await limner.assets.upload(bytes);
		return Response.json({ state: job.state, phases, magic: [...bytes.slice(1, 4)], asset: asset.width });
	},
};
`;

it('a Worker: generates and uploads over a service binding', async () => {
	const { host } = new URL(gateway.url);
	const worker = new Miniflare(
		convertV4MiniflareOptions({
			modules: [{ type: 'ESModule', path: 'worker.js', contents: await bundle(WORKER, 'neutral') }],
			compatibilityDate: '2026-10-01',
			bindings: { KEY: gateway.key },
			serviceBindings: { GATEWAY: { external: { address: host, http: {} } } },
			telemetry: { enabled: false },
		}),
	);
	try {
		const answer = await worker.dispatchFetch('http://worker.test/');
		const seen = (await answer.json()) as { phases: string[] };
		expect(seen).toMatchObject({ state: 'succeeded', magic: [0x50, 0x4e, 0x47], asset: expect.any(Number) as number });
		expect(seen.phases.at(-1)).toBe('succeeded');
	} finally {
		await worker.dispose();
	}
});

/** The parts of the MCP server that decide. */
import { JobRequest, MCP_LIMITS, MCP_TOOLS, type JobView } from '@limner/shared';
import { encode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { hostAllowed, originAllowed } from './address.ts';
import { follow, inputOfKey } from './inputs.ts';
import { advance, nextTold, startProgress, type JobProgress } from './progress.ts';
import { findRepeat, idempotencyKeyOf, labelOf } from './repeat.ts';
import { generationOf, generationResult } from './result.ts';
import { smallPicture } from './thumbnail.ts';
import { REPEATED, regenerateRequest, requestOf } from './tools/generate.ts';
import { toolsFor } from './tools/index.ts';
import { fitList } from './tools/read.ts';
import { VIEW_HTML } from './view.ts';

const job = (change: Partial<JobView> = {}): JobView => ({
	id: 'job_1',
	state: 'succeeded',
	createdAt: new Date(0).toISOString(),
	request: {
		task: 'txt2img',
		model: 'm',
		prompt: 'p',
		negativePrompt: null,
		width: 64,
		height: 64,
		steps: 4,
		guidance: 2,
		scheduler: 'ddim',
		seed: 1,
		n: 1,
		pasteBack: true,
		class: 'interactive',
		priority: 5,
		deadlineAt: 1,
	},
	images: [],
	warnings: [],
	history: [],
	links: { self: '', events: '', cancel: '' },
	...change,
});

const noise = (side: number) => {
	const data = new Uint8Array(side * side * 3);
	let value = 1;
	for (let i = 0; i < data.length; i++) data[i] = (value = (value * 48_271) % 2_147_483_647) & 255;
	return {
		bytes: new Uint8Array(encode({ width: side, height: side, data, channels: 3 })),
		contentType: 'image/png',
		width: side,
		height: side,
	};
};

const to = (location: string): Response => new Response(null, { status: 302, headers: { location } });

const names = (scopes: string[], routes: string[] = []): string[] => toolsFor(scopes, routes).map(({ name }) => name);

describe('progress', () => {
	it('grows over queue, load and steps, and never falls', () => {
		const frames = [
			{ event: 'position', data: { position: 3, feasible: true } },
			{ event: 'assigned', data: { index: 0 } },
			{ event: 'loading', data: { index: 0, phase: 'loading' } },
			{ event: 'progress', data: { index: 0, phase: 'denoising', step: 5, steps: 10 } },
			{ event: 'requeued', data: { index: 0 } },
			{ event: 'progress', data: { index: 0, phase: 'denoising', step: 1, steps: 10 } },
			{ event: 'image', data: { index: 0 } },
			{ event: 'succeeded', data: {} },
		] as const;
		const seen: JobProgress[] = [];
		let state = startProgress(1);
		for (const frame of frames) seen.push((state = advance(state, frame)));
		expect(seen.map(({ value }) => value)).toEqual([2, 10, 10, 57.5, 57.5, 57.5, 95, 100]);
		expect(seen[0]!.message).toBe('queued, position 3');
		expect(seen[5]!.message).toBe('step 1 of 10');
	});

	it('tells strictly growing values, a hair more at each heartbeat, and 100 only at the end', () => {
		expect(nextTold(-1, 0)).toBe(0);
		expect(nextTold(40, 40)).toBe(40.01);
		expect(nextTold(40.01, 40)).toBe(40.02);
		expect(nextTold(99.99, 95)).toBeUndefined();
		expect(nextTold(99.99, 100)).toBe(100);
		expect(nextTold(100, 100)).toBeUndefined();
	});
});

describe('equal calls', () => {
	const label = labelOf('ab'.repeat(32));
	const made = (state: JobView['state'], ageMs: number): JobView =>
		job({ state, createdAt: new Date(1_000_000 - ageMs).toISOString(), request: { ...job().request, labels: [label] } });

	it('find the job of the last two minutes that came to something', () => {
		expect(findRepeat([made('running', 10)], label, 1_000_000).job).toBeDefined();
		expect(findRepeat([made('succeeded', 119_000)], label, 1_000_000).job).toBeDefined();
		expect(findRepeat([made('succeeded', 120_000)], label, 1_000_000).job).toBeUndefined();
		expect(findRepeat([job({ createdAt: new Date(999_999).toISOString() })], label, 1_000_000).job).toBeUndefined();
	});

	it('may fail and be tried again under a key of their own', () => {
		const repeat = findRepeat([made('canceled', 5), made('failed', 50)], label, 1_000_000);
		expect(repeat).toEqual({ failures: 2 });
		expect(idempotencyKeyOf(label, 2, 1_000_000)).not.toBe(idempotencyKeyOf(label, 0, 1_000_000));
		expect(idempotencyKeyOf(label, 0, 960_000)).toBe(idempotencyKeyOf(label, 0, 1_000_000));
	});
});

describe('requests', () => {
	it('take the names of the API', () => {
		expect(requestOf({ prompt: 'p', negative_prompt: 'n', guidance_scale: 3, output_format: 'webp', steps: undefined })).toEqual({
			prompt: 'p',
			negativePrompt: 'n',
			guidance: 3,
			outputFormat: 'webp',
		});
	});

	it('are made again with a new seed, and without what belongs to another model', () => {
		expect(regenerateRequest(job().request, { guidance: 3 }, 77)).toMatchObject({
			prompt: 'p',
			steps: 4,
			width: 64,
			guidance: 3,
			seed: 77,
		});
		const other = regenerateRequest(job().request, { model: 'other' }, 77);
		expect(other).toMatchObject({ model: 'other', prompt: 'p' });
		expect(other).not.toHaveProperty('width');
		expect(other).not.toHaveProperty('deadlineAt');
		expect(regenerateRequest(job().request, { seed: 5 }, 77).seed).toBe(5);
	});
});

describe('regenerate', () => {
	it('repeats every field that says something of the picture', () => {
		// What says which picture, how many, when, where and in whose name, not how it looks.
		const others = [
			'seed',
			'n',
			'taskType',
			'class',
			'priority',
			'deadlineMs',
			'labels',
			'preferNode',
			'nodeId',
			'dependsOn',
			'onDependencyFailure',
			'params',
		];
		expect(
			Object.keys(JobRequest.shape)
				.filter((field) => !others.includes(field))
				.toSorted(),
		).toEqual([...REPEATED].toSorted());
	});
});

const wordy = (id: number) => generationOf(job({ id: `job_${id}`, request: { ...job().request, prompt: 'x'.repeat(4000) } }));

describe('lists', () => {
	it('end where hosts would cut them off, and say where to go on', () => {
		const all = Array.from({ length: MCP_LIMITS.listMax }, (_, id) => wordy(id));
		const { generations, text, cut } = fitList(all);
		expect(JSON.stringify({ generations, text }).length).toBeLessThan(150_000);
		expect([cut, generations.length < all.length, generations.length > 5]).toEqual([true, true, true]);
		expect(fitList(all.slice(0, 3))).toMatchObject({ cut: false, generations: { length: 3 } });
		expect(fitList([])).toEqual({ generations: [], text: '', cut: false });
	});

	it('wait no longer than the slowest host', () =>
		expect(MCP_TOOLS.generate_image.input.safeParse({ prompt: 'x', wait_seconds: 46 }).success).toBe(false));
});

describe('results', () => {
	const image = {
		id: 'img_1_0',
		index: 0,
		seed: 1,
		width: 64,
		height: 64,
		contentType: 'image/png',
		bytes: 9,
		sha256: 'a',
		url: 'https://g/o/t',
		expiresAt: '2026-01-01T00:00:00.000Z',
	};

	it('stand alone as text', () => {
		const { content, structuredContent } = generationResult(generationOf(job({ images: [image] })));
		expect(content[0]).toMatchObject({ type: 'text', text: expect.stringContaining('https://g/o/t') });
		expect(content[1]).toMatchObject({ type: 'resource_link', uri: 'https://g/o/t', annotations: { audience: ['user'] } });
		expect(structuredContent).toMatchObject({ status: 'succeeded', progress: 100 });
	});

	it('of an open job say what to do next, and of a failed one why', () => {
		const open = generationResult(
			generationOf(job({ state: 'queued', queue: { feasible: false, position: 2, reason: 'no node has the model' } })),
		);
		expect(open.isError).toBeUndefined();
		expect(open.content[0]).toMatchObject({ text: expect.stringMatching(/position 2.*no node has the model.*get_generation/s) });
		const failed = generationResult(generationOf(job({ state: 'failed', error: { class: 'oom', message: 'out of memory' } })));
		expect(failed).toMatchObject({ isError: true, structuredContent: { error: { code: 'oom' } } });
	});
});

describe('small pictures', () => {
	it('stay as they are when they fit', () => {
		const picture = noise(32);
		expect(smallPicture(picture, 64, 75_000)).toBe(picture);
	});

	it('shrink until they fit both bounds', () => {
		const small = smallPicture(noise(512), 512, 75 * 1024);
		expect(small?.bytes.length).toBeLessThanOrEqual(75 * 1024);
		expect(small?.bytes.length).toBeGreaterThan(20_000);
		const narrow = smallPicture(noise(128), 64, 75 * 1024)!;
		expect(new DataView(narrow.bytes.buffer).getUint32(16)).toBe(64);
	});

	it('keep the mean of what they cover', () => {
		const data = new Uint8Array(4 * 4 * 3).map((_, i) => (Math.floor(i / 3) % 2 === 0 ? 0 : 200));
		const bytes = new Uint8Array(encode({ width: 4, height: 4, data, channels: 3 }));
		const small = smallPicture({ bytes, contentType: 'image/png', width: 4, height: 4 }, 2, 75_000)!;
		expect(small.bytes).toEqual(new Uint8Array(encode({ width: 2, height: 2, data: new Uint8Array(12).fill(100), channels: 3 })));
	});

	it('of formats that are not read are left out when they are too large', () => {
		const jpeg = { bytes: new Uint8Array(100), contentType: 'image/jpeg', width: 9, height: 9 };
		expect(smallPicture(jpeg, 64, 50)).toBeUndefined();
		expect(smallPicture(jpeg, 4, 500)).toBe(jpeg);
		expect(smallPicture({ ...jpeg, contentType: 'image/png' }, 64, 50)).toBeUndefined();
	});
});

describe('places', () => {
	it.each([
		['localhost', '', true],
		['127.0.0.1', '', true],
		['[::1]', '', true],
		['gpu-box', '', true],
		['box.local', '', true],
		['evil.example', '', false],
		['limner.example', 'https://limner.example', true],
		['evil.example', 'https://limner.example', false],
	])('host %s with PUBLIC_URL %s: %s', (host, publicUrl, allowed) => expect(hostAllowed(host, publicUrl)).toBe(allowed));

	it.each([
		['https://limner.example', '', true],
		['http://limner.example', '', false],
		['https://chat.example', 'https://chat.example, https://b.example', true],
		['https://chat.example.evil.example', 'https://chat.example', false],
		['http://localhost.evil.example', '', false],
		['http://localhost:1234', '', true],
		['null', '', false],
	])('origin %s with %s: %s', (origin, listed, allowed) => expect(originAllowed(origin, 'https://limner.example', listed)).toBe(allowed));
});

describe('input pictures', () => {
	it('behind our own addresses are the caller’s or nothing', () => {
		expect(inputOfKey('w/acme/job_1/2/1-ab.png', 'acme')).toEqual({ job: 'job_1', index: 2 });
		expect(inputOfKey('w/acme/job_1/2/1-ab.png', 'other')).toBeUndefined();
		expect(inputOfKey('a/acme/asset_1', 'acme')).toEqual({ asset: 'asset_1' });
		expect(inputOfKey('a/acme/asset_1', 'other')).toBeUndefined();
	});

	const signal = new AbortController().signal;

	it('on the Web are judged at each redirect', async () => {
		const asked: string[] = [];
		const get = (url: string): Promise<Response> => {
			asked.push(url);
			return Promise.resolve(to('http://169.254.169.254/'));
		};
		await expect(follow('https://pictures.example/a.png', signal, get)).rejects.toThrow('refused');
		expect(asked).toEqual(['https://pictures.example/a.png']);
	});

	it('on the Web lead on only so often', async () => {
		await expect(follow('https://a.example/0', signal, (url) => Promise.resolve(to(`${url}0`)))).rejects.toThrow('more than 3 times');
	});
});

describe('tools', () => {
	it('that stand on a route are listed when the route exists', () => {
		expect(names(['admin'])).not.toContain('initialize_pool');
		expect(names(['admin'], ['POST /api/v1/pool/initialize'])).toContain('initialize_pool');
		expect(names(['admin'], ['POST /api/v1/workflows'])).toContain('submit_workflow');
		expect(names(['jobs:write', 'jobs:read'], ['POST /api/v1/pool/initialize'])).not.toContain('initialize_pool');
	});

	it('draw a view that loads nothing from elsewhere and writes no markup', () => {
		expect(VIEW_HTML).not.toMatch(/https?:|innerHTML|insertAdjacentHTML|eval\(/);
	});
});

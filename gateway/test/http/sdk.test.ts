/** The TypeScript client, inside workerd, against the whole Worker. */
import { exports } from 'cloudflare:workers';
import { afterEach, expect, it } from 'vitest';
import { Limner, type Progress } from '../../../sdk/src/index.ts';
import { cleanUp, joinNode, KEY } from './harness.ts';

afterEach(cleanUp);

const client = new Limner({
	baseUrl: 'https://limner.example',
	apiKey: KEY,
	fetch: (url, init) => exports.default.fetch(new Request(url, init)),
});

it('submits, follows to the abort, and cancels at the gateway', async () => {
	const node = await joinNode();
	const abort = new AbortController();
	const seen: Progress[] = [];
	const run = client.images.generate(
		{ prompt: 'a red castle' },
		{
			signal: abort.signal,
			onProgress: (progress) => seen.push(progress),
			onEvent: ({ event }) => {
				if (event === 'assigned') abort.abort(new Error('enough'));
			},
		},
	);
	await expect(run).rejects.toThrow('enough');
	expect(seen[0]).toMatchObject({ phase: 'queued', fraction: 0, n: 1 });
	const { data } = await client.jobs.list({ limit: 1 });
	expect(data[0]).toMatchObject({ state: 'canceled' });
	expect((await client.nodes.list()).some(({ id }) => id === node.identity.id)).toBe(true);
});

it('tells refusals', async () => {
	await expect(client.jobs.submit({ prompt: '' })).rejects.toMatchObject({ status: 422, code: 'validation_failed' });
});

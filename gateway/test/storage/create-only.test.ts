import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { storageOf } from '../../src/storage/index.ts';
import { putVerified, type PutOutcome } from '../../src/storage/put.ts';
import { inPieces, sha256 } from './harness.ts';
import { makePng } from './pictures.ts';

const put = (key: string, body: Uint8Array): Promise<PutOutcome> =>
	putVerified(
		storageOf(env),
		{
			key,
			bytes: body.length,
			sha256: sha256(body),
			contentType: 'image/png',
			rules: { kinds: ['png'], size: { width: 16, height: 16 }, maxBytes: 4096, maxPx: 16, profile: 'result' },
		},
		inPieces(body, 100),
	);

describe('storing a verified body', () => {
	it('never writes over an object, and tells that it was there', async () => {
		const key = 'w/create-only/job/0/1-abc.png';
		const body = makePng({ width: 16, height: 16 });
		expect(await put(key, body)).toMatchObject({ kind: 'stored', created: true });
		const first = await env.PICTURES.head(key);
		expect(await put(key, body)).toMatchObject({ kind: 'stored', created: false });
		expect((await env.PICTURES.head(key))?.version).toBe(first?.version);
	});
});

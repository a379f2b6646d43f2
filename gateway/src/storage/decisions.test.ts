import { isTerminal, resultMaxBytes, type JobState, type ResultTicket } from '@limner/shared';
import { describe, expect, it } from 'vitest';
import { ifRangeAllows, noneMatchHits, readRange } from './conditional.ts';
import { locateImage } from './locate.ts';
import { fileNameOf } from './serve.ts';
import { directSeconds, isUnwanted, leftover, planUpload, readMeta, type UploadHeaders } from './upload.ts';

const claims: ResultTicket = {
	k: 'result',
	ws: 'w',
	job: `job_${'0'.repeat(28)}`,
	i: 1,
	e: 3,
	node: 'node_1',
	w: 64,
	h: 128,
	s: 9,
	ct: 'image/png',
	exp: 0,
};
const headers: UploadHeaders = { contentLength: '1000', contentType: 'image/png', sha256: 'AB'.repeat(32), meta: null };
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('the plan of an upload', () => {
	it('names the key by epoch and hash, and asks for what the ticket promises', () => {
		expect(planUpload(claims, headers)).toMatchObject({
			ok: true,
			key: `w/w/${claims.job}/1/3-${'ab'.repeat(16)}.png`,
			bytes: 1000,
			rules: { kinds: ['png'], size: { width: 64, height: 128 }, profile: 'result', maxBytes: resultMaxBytes(64, 128) },
		});
		expect(planUpload({ ...claims, ct: 'image/*' }, { ...headers, contentType: 'image/webp' })).toMatchObject({
			contentType: 'image/webp',
		});
	});
	it.each<[string, Partial<UploadHeaders>, string]>([
		['no length', { contentLength: null }, 'length_required'],
		['a length of zero', { contentLength: '0' }, 'result_refused'],
		['a length that is no number', { contentLength: '1e' }, 'result_refused'],
		['one byte too many', { contentLength: String(resultMaxBytes(64, 128) + 1) }, 'result_refused'],
		['no hash', { sha256: null }, 'result_refused'],
		['half a hash', { sha256: 'ab' }, 'result_refused'],
		['no type', { contentType: null }, 'result_refused'],
		['a vague type', { contentType: 'image/*' }, 'result_refused'],
		['another type', { contentType: 'image/jpeg' }, 'result_refused'],
	])('refuses %s', (_name, change, code) => {
		expect(planUpload(claims, { ...headers, ...change })).toMatchObject({ ok: false, code });
	});
	it('gives addresses for a quarter of an hour, and none when a PUT could outlive the ticket', () => {
		const minute = 60_000;
		expect(directSeconds(24 * 60 * minute, 0)).toBe(900);
		expect(directSeconds(20 * minute, 0)).toBe(300);
		expect(directSeconds(15 * minute, 0)).toBe(0);
		expect(directSeconds(minute, 0)).toBeLessThan(0);
	});
	it('takes the largest length', () => {
		expect(planUpload(claims, { ...headers, contentLength: String(resultMaxBytes(64, 128)) }).ok).toBe(true);
	});
	it('reads metadata up to 2 KB, and turns the rest into a warning', () => {
		const warning = { warnings: ['the metadata of the node could not be read'] };
		expect(readMeta(encode({ totalMs: 3, device: 'Röntgen' }))).toEqual({ totalMs: 3, device: 'Röntgen' });
		expect(readMeta(encode({ a: 'x'.repeat(2040) }))).toEqual({ a: 'x'.repeat(2040) });
		expect(readMeta(encode({ a: 'x'.repeat(2041) }))).toEqual(warning);
		for (const bad of ['%', encode([1]), encode(null), encode('x')]) expect(readMeta(bad)).toEqual(warning);
		expect(readMeta(encode({ warnings: 'no list' }))).toEqual({});
		expect(readMeta(null)).toEqual({});
	});
});

const terminal = (state: JobState) => isTerminal('job', state);

describe('what becomes of the object', () => {
	it('is deleted only when nobody can have accepted it', () => {
		expect(leftover('accepted', true)).toBe('keep');
		expect(leftover('retry', true)).toBe('keep');
		expect(leftover('stale', true)).toBe('delete');
		expect(leftover('gone', true)).toBe('delete');
		expect(leftover('stale', false)).toBe('confirm');
		expect(isUnwanted({ state: 'succeeded', key: 'k' }, 'k', terminal)).toBe(false);
		expect(isUnwanted({ state: 'succeeded', key: 'other' }, 'k', terminal)).toBe(true);
		expect(isUnwanted({ state: 'running' }, 'k', terminal)).toBe(false);
		expect(isUnwanted({ state: 'unknown' }, 'k', terminal)).toBe(true);
	});
});

describe('ranges and conditions', () => {
	it.each<[string | null, ReturnType<typeof readRange>]>([
		[null, 'full'],
		['bytes=0-0', { offset: 0, length: 1 }],
		['bytes=0-', { offset: 0, length: 100 }],
		['bytes=99-', { offset: 99, length: 1 }],
		['bytes=90-1000', { offset: 90, length: 10 }],
		['bytes=-5', { offset: 95, length: 5 }],
		['bytes=-500', { offset: 0, length: 100 }],
		['bytes=-0', 'unsatisfiable'],
		['bytes=100-', 'unsatisfiable'],
		['bytes=5-4', 'full'],
		['bytes=-', 'full'],
		['bytes=0-1,5-6', 'full'],
		['items=0-1', 'full'],
	])('%s', (header, expected) => {
		expect(readRange(header, 100)).toEqual(expected);
	});
	it('compares entity tags', () => {
		expect(noneMatchHits('"a", W/"b"', '"b"')).toBe(true);
		expect(noneMatchHits('*', '"b"')).toBe(true);
		expect(noneMatchHits('"c"', '"b"')).toBe(false);
		expect(noneMatchHits(null, '"b"')).toBe(false);
		expect(ifRangeAllows('W/"b"', '"b"')).toBe(false);
	});
	it('names files', () => {
		expect(fileNameOf(`w/acme/job_${'0'.repeat(28)}/2/1-ab.png`, 'image/jpeg')).toBe(`img_${'0'.repeat(28)}_2.jpg`);
		expect(fileNameOf('a/acme/asset_1"\r\n', 'image/png')).toBe('asset_1.png');
	});
});

describe('where a picture is', () => {
	const image = {
		index: 0,
		key: 'k',
		epoch: 1,
		nodeId: 'n',
		contentType: 'image/png',
		bytes: 1,
		sha256: '',
		width: 1,
		height: 1,
		seed: 1,
		at: 0,
	};
	const row = (state: JobState, purgedAt?: number) =>
		locateImage.bind(null, { state, images: [image], spec: { n: 2 } as never, ...(purgedAt === undefined ? {} : { purgedAt }) });
	it('tells made, not yet, never, removed, and no such number apart', () => {
		expect(row('running')(0).kind).toBe('found');
		expect(row('running')(1)).toMatchObject({ kind: 'missing', detail: expect.stringMatching(/not made yet/) });
		expect(row('failed')(1)).toMatchObject({ kind: 'missing', detail: expect.stringMatching(/never made/) });
		expect(row('succeeded', 5)(1).kind).toBe('gone');
		expect(row('succeeded', 5)(0).kind).toBe('found');
		expect(row('succeeded', 5)(2).kind).toBe('missing');
	});
});

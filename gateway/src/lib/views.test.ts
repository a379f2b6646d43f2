import { ObjectTicket, type ImageRecord, type JobView } from '@limner/shared';
import { describe, expect, it } from 'vitest';
import { clientFrame } from '../routes/events/frames.ts';
import type { JobRow, LiveJob } from '../rpc.ts';
import { verifyClaims } from './sign.ts';
import { jobView } from './views.ts';

const secret = 'a-secret-of-at-least-32-characters!!';
const context = { secret, base: 'https://limner.example', nowMs: 1_000_000 };
const id = `job_${'0'.repeat(28)}`;
const image = (index: number): ImageRecord => ({
	index,
	key: `w/acme/${id}/${index}/1-abc.png`,
	epoch: 1,
	nodeId: 'node_x',
	contentType: 'image/png',
	bytes: 10,
	sha256: 'abc',
	width: 128,
	height: 128,
	seed: 7 + index,
	at: 5,
});
const row = (over: Partial<JobRow> = {}): JobRow => ({
	id,
	ws: 'acme',
	state: 'queued',
	spec: { task: 'txt2img', prompt: 'x', inputKeys: { init: 'a/acme/secret' } } as unknown as JobRow['spec'],
	createdAt: 1000,
	images: [],
	hist: [{ rev: 1, at: 1000, type: 'queued', who: 'key:k' }],
	warnings: ['from the row'],
	...over,
});
const live: LiveJob = {
	id,
	state: 'running',
	tasks: [],
	images: [image(1), image(0)],
	hist: [
		{ rev: 1, at: 1000, type: 'queued', who: 'key:k' },
		{ rev: 2, at: 2000, type: 'assigned', who: 'pool' },
	],
	warnings: ['from the row', 'from the pool'],
	startedAt: 2000,
	queue: { feasible: true, position: 1 },
};

describe('jobView', () => {
	it('is made from the row alone when nothing else is given', () => {
		const view = jobView(context, row());
		expect(view).toMatchObject({ id, state: 'queued', createdAt: new Date(1000).toISOString(), images: [] });
		expect(view).not.toHaveProperty('tasks');
		expect(view.links.events).toBe(`https://limner.example/api/v1/jobs/${id}/events`);
	});
	it('does not show where inputs are stored', () => {
		expect(JSON.stringify(jobView(context, row()))).not.toContain('a/acme/secret');
	});
	it('lets the pool be ahead of an open row', () => {
		const view = jobView(context, row(), live);
		expect(view).toMatchObject({ state: 'running', warnings: ['from the row', 'from the pool'], queue: { position: 1 } });
		expect(view.images.map((picture) => picture.index)).toEqual([0, 1]);
		expect(view.history).toHaveLength(2);
	});
	it('believes a finished row', () => {
		expect(jobView(context, row({ state: 'canceled' }), live)).toMatchObject({ state: 'canceled', images: [] });
	});
	it('says that pictures were removed', () => {
		const none = jobView(context, row({ state: 'succeeded', images: [], purgedAt: 3000 }));
		expect(none.warnings.at(-1)).toBe(`the pictures of this job were removed on ${new Date(3000).toISOString()}`);
	});
	it('goes on showing the pictures that are left when one was removed', () => {
		const view = jobView(context, row({ state: 'succeeded', images: [image(1)], purgedAt: 3000 }));
		expect(view.images.map((picture) => picture.index)).toEqual([1]);
		expect(view.warnings.at(-1)).toContain('some pictures');
	});
	it('signs a URL for one object, for an hour', () => {
		const [picture] = jobView(context, row({ state: 'succeeded', images: [image(0)] })).images as [JobView['images'][number]];
		const ticket = picture.url.replace('https://limner.example/api/v1/objects/', '');
		expect(verifyClaims(secret, 'object', ticket, context.nowMs + 3_599_999)).toEqual({
			ok: true,
			claims: ObjectTicket.parse({ k: 'object', ws: 'acme', key: image(0).key, ct: 'image/png', exp: context.nowMs + 3_600_000 }),
		});
		expect(verifyClaims(secret, 'object', ticket, context.nowMs + 3_600_000)).toEqual({ ok: false, why: 'expired' });
		expect(picture.expiresAt).toBe(new Date(context.nowMs + 3_600_000).toISOString());
	});
});

describe('clientFrame', () => {
	it('shows views, never keys of the storage', () => {
		const picture = clientFrame(context, 'acme', id, { event: 'image', id: 3, data: { index: 0, image: image(0) } });
		expect(picture.data).toMatchObject({ index: 0, image: { id: `img_${id.slice(4)}_0`, seed: 7 } });
		const end = clientFrame(context, 'acme', id, { event: 'succeeded', id: 4, data: { images: [image(0), image(1)], warnings: [] } });
		expect((end.data as { images: unknown[] }).images).toHaveLength(2);
		for (const frame of [picture, end]) expect(frame.data).not.toHaveProperty(['image', 'key']);
		expect(JSON.stringify([picture, end])).not.toContain(image(0).key);
	});
	it('leaves the rest alone', () => {
		const frame = { event: 'progress', data: { index: 0, step: 3 } } as const;
		expect(clientFrame(context, 'acme', id, frame)).toBe(frame);
		expect(clientFrame(context, 'acme', id, { event: 'queued', id: 1, data: { rev: 1 } }).data).toEqual({ rev: 1 });
	});
});

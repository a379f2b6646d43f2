import { tmpdir } from 'node:os';
import type { NodeFrame, SlotInfo } from '@limner/shared';
import { describe, expect, it } from 'vitest';
import { freeBytes, Vitals } from './vitals.ts';

const slot = (loaded?: string): SlotInfo => ({
	id: '0',
	device: { kind: 'cpu', name: 'CPU' },
	engine: 'onnx',
	maxBatch: 1,
	...(loaded === undefined ? {} : { loaded }),
});
const make = () => {
	const state = { now: 0, up: true, slots: [slot()] };
	const sent: NodeFrame[] = [];
	const vitals = new Vitals(
		{
			folder: tmpdir(),
			slots: () => state.slots,
			send: (frame) => state.up && sent.push(frame) > 0,
			everyMs: () => 10_000,
			monotonicMs: () => state.now,
		},
		5_000_000,
	);
	return { vitals, state, sent };
};

describe('Vitals', () => {
	it('tells a loaded model, but not oftener than it should', async () => {
		const { vitals, state, sent } = make();
		await vitals.tell();
		vitals.saidHello();
		const before = sent.length;
		await vitals.changed();
		expect(sent).toHaveLength(before);
		state.slots = [slot('storybook')];
		state.now = 9_999;
		await vitals.changed();
		expect(sent).toHaveLength(before);
		state.now = 10_000;
		await vitals.changed();
		expect(sent.at(-1)).toMatchObject({ t: 'telemetry', slots: [{ loaded: 'storybook' }] });
	});
	it('tells again what did not get through', async () => {
		const { vitals, state, sent } = make();
		state.up = false;
		await vitals.tell();
		expect(sent).toEqual([]);
		state.up = true;
		state.now = 10_000;
		await vitals.tell();
		expect(sent).toHaveLength(1);
	});
	it('leaves the disk out when it cannot be told', async () => {
		expect(await freeBytes('/nonexistent/folder')).toBeUndefined();
		expect(await freeBytes(tmpdir())).toBeGreaterThan(0);
		expect(make().vitals.disk).toEqual({ diskFreeBytes: 5_000_000 });
	});
});

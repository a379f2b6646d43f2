import type { Telemetry } from '@limner/sdk';
import { describe, expect, it } from 'vitest';
import { readingsOf } from './gauges.tsx';

const GIB = 1024 ** 3;
const of = (telemetry: Partial<Telemetry>): [string, string, number][] =>
	readingsOf({ at: '2026-11-21T12:00:00Z', ...telemetry }).map(({ label, text, share }) => [label, text, share]);

describe('gauges of a machine', () => {
	it('show what was reported and nothing else', () => {
		expect(of({})).toEqual([]);
		expect(of({ gpus: [{}] })).toEqual([]);
		expect(of({ cpuUtil: 0.5, gpus: [{ util: 0.25, memUsedBytes: 2 * GIB, memTotalBytes: 8 * GIB, tempC: 61.4 }] })).toEqual([
			['CPU', '50 %', 0.5],
			['GPU', '25 %', 0.25],
			['VRAM', '2.0 GiB / 8.0 GiB', 0.25],
			['Temperature', '61 °C', 0.614],
		]);
	});

	it('tell several cards apart, and leave out a size of nothing', () => {
		expect(of({ gpus: [{ util: 1 }, { util: 0, memUsedBytes: 1, memTotalBytes: 0 }] }).map(([label]) => label)).toEqual(['GPU 1', 'GPU 2']);
	});
});

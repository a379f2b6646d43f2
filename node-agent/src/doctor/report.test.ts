import { describe, expect, it } from 'vitest';
import type { DeviceReport } from './devices.ts';
import { chosenDevice, reportLine } from './report.ts';

const device = (kind: string, state: string): DeviceReport => ({ kind, state }) as unknown as DeviceReport;

describe('what the doctor prints', () => {
	it.each([
		['ok', '✓'],
		['note', '!'],
		['bad', '✗'],
		['absent', '–'],
	] as const)('marks %s with %s', (state, mark) => {
		expect(reportLine('disk', { state, detail: '9 GB free' })).toBe(`${mark} disk       9 GB free`);
	});

	it('says what to do on a line of its own', () => {
		expect(reportLine('disk', { state: 'bad', detail: 'full', fix: 'remove a model' }).split('\n')).toEqual([
			'✗ disk       full',
			'  → remove a model',
		]);
	});
});

describe('the device that a node takes by itself', () => {
	const order = ['tensorrt', 'cuda', 'webgpu', 'cpu'];

	it('is the first of the order that works', () => {
		expect(chosenDevice([device('cpu', 'ok'), device('webgpu', 'ok'), device('cuda', 'bad')], order)).toBe('webgpu');
	});

	it('is the processor when nothing else works, even when that was not tried', () => {
		expect(chosenDevice([device('cuda', 'bad')], order)).toBe('cpu');
		expect(chosenDevice([], order)).toBe('cpu');
	});

	it('is never one that the order does not name', () => {
		expect(chosenDevice([device('dml', 'ok')], order)).toBe('cpu');
	});
});

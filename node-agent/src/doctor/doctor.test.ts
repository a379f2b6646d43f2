import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DeviceKind } from '../engines/devices.ts';
import { judgeDevice, offeredHere, type GpuFacts } from './advice.ts';
import { PROBE_INPUT, probeError } from './probe-model.ts';
import { probeProvider, type ProbeOutcome } from './probe.ts';

const FACTS: GpuFacts = { platform: 'linux', arch: 'x64', nvidiaGpus: [], cudaProvider: false, missingLibraries: [], wsl: false };
const CARD: Partial<GpuFacts> = { nvidiaGpus: ['NVIDIA RTX 3060'], driver: '570.86', cudaProvider: true, cuda: 13, oldestDriver: 580 };
const refused = (message: string, detail = ''): ProbeOutcome => ({ ok: false, kind: 'refused', message, detail });
const judge = (kind: DeviceKind, outcome: ProbeOutcome | undefined, facts: Partial<GpuFacts> = {}) =>
	judgeDevice(kind, outcome, { ...FACTS, ...facts });

let folder = '';
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'limner-doctor-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const stub = (code: string): string => {
	const file = join(folder, 'stub.mjs');
	writeFileSync(file, code);
	return file;
};

describe('a probe', () => {
	it('runs a real model on the CPU and compares its numbers', async () => {
		const outcome = await probeProvider('cpu');
		expect(outcome).toMatchObject({ ok: true });
		expect(outcome.ok && outcome.error).toBeLessThan(1e-5);
	});
	it.runIf(process.platform === 'linux')('does not take the CPU for a device that is not there', async () => {
		for (const kind of ['cuda', 'webgpu'] as const) {
			const outcome = await probeProvider(kind);
			// On a machine that has it the probe may well succeed; then it ran there and nowhere else.
			expect(outcome.ok || outcome.message.length > 0).toBe(true);
			expect(judge(kind, outcome).state).toBe(outcome.ok ? 'ok' : 'absent');
		}
	});
	it('survives a driver that takes its process down, one that hangs, and one that computes wrongly', async () => {
		const crash = await probeProvider('cuda', { file: stub(`console.error('boom'); process.kill(process.pid, 'SIGKILL')`) });
		expect(crash).toMatchObject({ ok: false, kind: 'crashed', message: 'its process ended with SIGKILL', detail: 'boom\n' });
		const hang = await probeProvider('cuda', { file: stub('setInterval(() => undefined, 1000)'), timeoutMs: 500 });
		expect(hang).toMatchObject({ ok: false, kind: 'silent', message: 'it did not answer within 0.5 s' });
		const wrong = await probeProvider('cuda', { file: stub('process.send({ ok: true, loadMs: 1, runMs: 1, error: 0.5 })') });
		expect(wrong).toMatchObject({ ok: false, kind: 'wrong-numbers' });
		const env = await probeProvider('cuda', {
			file: stub('process.send({ ok: false, message: process.env.LD_LIBRARY_PATH })'),
			env: { LD_LIBRARY_PATH: '/gpu' },
		});
		expect(env).toMatchObject({ kind: 'refused', message: '/gpu' });
	});
	it('notices zeros, a wrong place, a wrong shape and NaN', () => {
		const right = new Float32Array(512).fill(1 / 8);
		expect(probeError(new Float32Array(512))).toBeGreaterThan(0.5);
		expect(probeError(right)).toBeGreaterThan(0.01);
		expect(probeError(new Float32Array(511))).toBe(Number.POSITIVE_INFINITY);
		expect(probeError(right.fill(Number.NaN, 100, 101))).toBe(Number.POSITIVE_INFINITY);
		expect(PROBE_INPUT.values).toHaveLength(256);
	});
});

describe('advice', () => {
	const cases: [name: string, kind: DeviceKind, outcome: ProbeOutcome, facts: Partial<GpuFacts>, state: string, words: RegExp][] = [
		['no provider, no card', 'cuda', refused('Failed to load shared library'), {}, 'absent', /no GPU.*driver.*limner gpu install/],
		['a card and no provider', 'cuda', refused('x'), { ...CARD, cudaProvider: false }, 'note', /not installed.*limner gpu install/],
		[
			'libraries are missing',
			'cuda',
			refused('x'),
			{ ...CARD, missingLibraries: ['libcudnn.so.9'] },
			'note',
			/libcudnn\.so\.9.*limner gpu install --libraries/,
		],
		['an old driver', 'cuda', refused('CUDA failure 35'), CARD, 'note', /570\.86 is too old for CUDA 13.*580 or newer/],
		['no driver', 'cuda', refused('x'), { ...CARD, nvidiaGpus: [], missingLibraries: ['libcuda.so.1'] }, 'absent', /no NVIDIA driver/],
		['no driver inside WSL', 'cuda', refused('x'), { ...CARD, nvidiaGpus: [], wsl: true }, 'absent', /on Windows \(not inside WSL\)/],
		['the loader knows better', 'cuda', refused('x', 'libcurand.so.10: cannot open shared object file'), CARD, 'note', /libcurand\.so\.10/],
		[
			'no TensorRT',
			'tensorrt',
			refused('x', 'libnvinfer.so.10: cannot open shared object file'),
			CARD,
			'absent',
			/TensorRT is not installed/,
		],
		['no Vulkan', 'webgpu', refused('x', "Couldn't load Vulkan: libvulkan.so.1"), {}, 'absent', /libvulkan1/],
		['no adapter', 'webgpu', refused('Failed to get a WebGPU adapter'), {}, 'absent', /vulkaninfo/],
		[
			'an adapter that does not fit',
			'webgpu',
			refused('Failed to get a WebGPU adapter', 'Warning: Vulkan shaderUniform*ArrayDynamicIndexing required.\n'),
			{},
			'absent',
			/one is there, but: Vulkan shaderUniform/,
		],
		[
			'parts on the CPU',
			'webgpu',
			refused('nodes assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled'),
			{},
			'absent',
			/parts of the model to the CPU/,
		],
		['wrong numbers', 'webgpu', { ok: false, kind: 'wrong-numbers', message: 'off by 1', detail: '' }, {}, 'note', /computes wrongly/],
		['a CPU that fails', 'cpu', refused('x'), {}, 'bad', /glibc/],
	];
	it.each(cases)('%s', (_name, kind, outcome, facts, state, words) => {
		const result = judge(kind, outcome, facts);
		expect(result.state).toBe(state);
		expect(`${result.detail} ${result.fix ?? ''}`).toMatch(words);
	});
	it('names what Windows has instead of CUDA', () => {
		expect(judge('cuda', undefined, { platform: 'win32' })).toMatchObject({
			state: 'absent',
			fix: expect.stringMatching(/DirectML.*webgpu.*WSL2/) as string,
		});
		expect(judge('coreml', undefined)).toEqual({ state: 'absent', detail: 'ONNX Runtime for Node does not have it on linux x64' });
	});
	it('knows what each platform has', () => {
		expect(offeredHere('win32', 'x64')).toContain('dml');
		expect(offeredHere('darwin', 'arm64')).toContain('coreml');
		expect(offeredHere('linux', 'arm64')).toEqual(['cpu']);
		expect(offeredHere('freebsd', 'x64')).toEqual(['cpu']);
	});
	it('says what works', () => {
		expect(judge('webgpu', { ok: true, loadMs: 20, runMs: 0.5, error: 0 }).detail).toBe(
			'works: the test model ran in 0.50 ms, no part of it on the CPU; loaded in 20 ms',
		);
	});
});

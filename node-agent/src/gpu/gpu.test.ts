import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readElf } from './elf.ts';
import { IndexServer, storedZip } from './index-server.test-lib.ts';
import { installWheels, libraryReport, planWheels } from './install-libraries.ts';
import { installProvider, linkProvider, unsupported } from './install.ts';
import { cudaMajor, libraryFinder, missingLibraries, packageOf, parseLdconfig } from './libraries.ts';
import { fromHtml, newestWheel } from './package-index.ts';
import { gpuEnvironment, librariesDir, readManifest, type GpuPlaces } from './places.ts';

const linux = process.platform === 'linux' && process.arch === 'x64';
const ortFolder = join(
	dirname(createRequire(import.meta.url).resolve('onnxruntime-node')),
	'../bin/napi-v6',
	process.platform,
	process.arch,
);
const binding = join(ortFolder, 'onnxruntime_binding.node');

let folder = '';
let server: IndexServer;
beforeEach(async () => {
	folder = mkdtempSync(join(tmpdir(), 'limner-gpu-'));
	server = await IndexServer.start();
});
afterEach(async () => {
	await server.stop();
	rmSync(folder, { recursive: true, force: true });
});

/** A real library of this machine that asks for a library of CUDA instead of ONNX Runtime's, and holds a version. */
const fakeProvider = (version = '1.30.0', asks = 'libcudart.so.13'): Buffer => {
	const bytes = Buffer.concat([readFileSync(binding), Buffer.from(`\0${version}\0`)]);
	const at = bytes.indexOf('\0libonnxruntime.so.1\0') + 1;
	bytes.fill(0, at, at + 19);
	bytes.write(asks, at, 'latin1');
	return bytes;
};
const plainLibrary = (): Buffer => readFileSync(binding);

const quiet = { onProgress: () => undefined, onNote: () => undefined };
const places = (): GpuPlaces => {
	const bindingDir = join(folder, 'binding');
	mkdirSync(bindingDir, { recursive: true });
	return { home: join(folder, 'home'), bindingDir, runtimeVersion: '1.30.0' };
};
const WHEEL = 'onnxruntime_gpu-1.30.0-cp312-cp312-manylinux_2_28_x86_64.whl';
const wheelFiles = (provider: Buffer): Record<string, Buffer> => ({
	'onnxruntime/capi/libonnxruntime_providers_cuda.so': provider,
	'onnxruntime/capi/libonnxruntime_providers_shared.so': plainLibrary(),
	'onnxruntime/__init__.py': Buffer.from('x'),
});
const noLibraries = { PATH: process.env['PATH'] };

describe.skipIf(!linux)('ELF', () => {
	it('reads real libraries as readelf does', () => {
		for (const file of [binding, join(ortFolder, 'libonnxruntime.so.1'), process.execPath]) {
			const text = execFileSync('readelf', ['-d', file], { encoding: 'utf8' });
			const needed = [...text.matchAll(/\(NEEDED\)\s+Shared library: \[(.*)\]/g)].map((match) => match[1]);
			const info = readElf(file);
			expect(needed.length).toBeGreaterThan(0);
			expect(info.needed).toEqual(needed);
			expect(info.soname).toBe(/\(SONAME\)\s+Library soname: \[(.*)\]/.exec(text)?.[1]);
			expect(info.runpath.join(':')).toBe(/\((?:RUNPATH|RPATH)\)\s+Library r(?:un)?path: \[(.*)\]/.exec(text)?.[1] ?? '');
			expect(info.machine).toBe('x64');
		}
	});
	it('says in a sentence what is no library', () => {
		const file = join(folder, 'x.so');
		for (const [bytes, why] of [
			[Buffer.from('#!/bin/sh'), /is cut off/],
			[Buffer.alloc(100), /is no ELF file/],
			[plainLibrary().subarray(0, 5000), /is cut off|lies outside/],
		] as const) {
			writeFileSync(file, bytes);
			expect(() => readElf(file)).toThrow(why);
			expect(() => readElf(file)).toThrow(file);
		}
	});
});

const named = (filename: string) => ({ filename, url: 'u', sha256: 's' });

describe('libraries', () => {
	it('reads the cache of the loader for this kind of machine', () => {
		const text = '2 libs found\n\tlibz.so.1 (libc6) => /lib32/libz.so.1\n\tlibz.so.1 (libc6,x86-64) => /lib/libz.so.1\n\tbad line\n';
		expect([...parseLdconfig(text, 'x64')]).toEqual([['libz.so.1', '/lib/libz.so.1']]);
	});
	it('knows the package of each library, for either CUDA', () => {
		expect(packageOf('libcublasLt.so.13', 13)).toEqual({ name: 'nvidia-cublas', version: '13.' });
		expect(packageOf('libcublas.so.12', 12)).toEqual({ name: 'nvidia-cublas-cu12', version: '12.' });
		expect(packageOf('libcudnn_graph.so.9', 13)).toEqual({ name: 'nvidia-cudnn-cu13', version: '9.' });
		expect(packageOf('libcurand.so.10', 13)).toEqual({ name: 'nvidia-curand', version: '10.' });
		expect(packageOf('libcuda.so.1', 13)).toBeUndefined();
		expect(cudaMajor(['libc.so.6', 'libcudart.so.12'])).toBe(12);
		expect(cudaMajor(['libc.so.6'])).toBeUndefined();
	});
	it('takes the newest released wheel for this platform', () => {
		const files = [
			'a-9.2-py3-none-manylinux_2_27_x86_64.whl',
			'a-9.10-py3-none-manylinux_2_27_x86_64.whl',
			'a-9.11rc1-py3-none-manylinux_2_27_x86_64.whl',
		];
		files.push(
			'a-9.12-py3-none-win_amd64.whl',
			'a-9.12-py3-none-manylinux_2_27_aarch64.whl',
			'a-10.0-py3-none-manylinux_2_27_x86_64.whl',
			'a-9.1.tar.gz',
		);
		expect(newestWheel(files.map(named), '9.')?.version).toBe('9.10');
		expect(newestWheel(files.map(named), '9.2')?.version).toBe('9.2');
		expect(newestWheel(files.map(named), '8.')).toBeUndefined();
	});
	it('reads a page of anchors', () => {
		const hash = 'a'.repeat(64);
		const html = `<a href="/f/x%2B1.whl#sha256=${hash}" data-requires-python="&gt;=3">x.whl</a><a href="y.whl">y</a><a href="z.whl#sha256=${hash}" data-yanked="">z</a>`;
		expect(fromHtml(html, 'http://h/simple/x/')).toEqual([{ filename: 'x.whl', url: 'http://h/f/x%2B1.whl', sha256: hash }]);
	});
	it('says what there is where CUDA is not', () => {
		expect(unsupported('linux', 'x64')).toBeUndefined();
		expect(unsupported('win32', 'x64')).toMatch(/--device dml or --device webgpu.*WSL2/);
		expect(unsupported('darwin', 'arm64')).toMatch(/webgpu/);
		expect(unsupported('linux', 'arm64')).toMatch(/--device cpu/);
	});
});

describe.skipIf(!linux)('limner gpu install', () => {
	it('fetches the matching wheel over a cut, checks it, links it, finds what is missing, and fetches that too', async () => {
		const here = places();
		const wheel = server.add('onnxruntime-gpu', WHEEL, wheelFiles(fakeProvider()));
		server.add('onnxruntime-gpu', WHEEL.replaceAll('1.30.0', '1.31.0'), {});
		server.cuts.set(WHEEL, 100_000);
		const manifest = await installProvider({ index: server.url }, here, quiet);
		expect(manifest).toMatchObject({ runtimeVersion: '1.30.0', cuda: 13 });
		expect(server.sent).toBeLessThanOrEqual(wheel.length * 1.05 + 1);
		expect(lstatSync(join(here.bindingDir, 'libonnxruntime_providers_cuda.so')).isSymbolicLink()).toBe(true);
		expect(readdirSync(join(here.home, 'downloads'))).toEqual([]);
		expect(gpuEnvironment(here, {})).toEqual({});

		const report = libraryReport(here, 13, noLibraries);
		expect(report.missing.map(({ name }) => name)).toEqual(['libcudart.so.13', 'libcudnn.so.9', 'libnvrtc.so.13']);
		expect(report.packages.map(({ name }) => name)).toEqual(['nvidia-cuda-runtime', 'nvidia-cudnn-cu13', 'nvidia-cuda-nvrtc']);
		// What is fetched needs more in its turn: here cuDNN needs cuBLAS.
		const cudnn = fakeProvider('x', 'libcublas.so.13');
		server.add('nvidia-cuda-runtime', 'nvidia_cuda_runtime-13.2.1-py3-none-manylinux_2_17_x86_64.whl', {
			'nvidia/cu13/lib/libcudart.so.13': Buffer.from(fakeProvider('x', 'libc.so.6')),
		});
		server.add('nvidia-cudnn-cu13', 'nvidia_cudnn_cu13-9.1.0-py3-none-manylinux_2_27_x86_64.whl', {
			'nvidia/cudnn/lib/libcudnn.so.9': cudnn,
			'nvidia/cudnn/include/x.h': Buffer.from('x'),
		});
		server.add('nvidia-cuda-nvrtc', 'nvidia_cuda_nvrtc-13.0.0-py3-none-manylinux_2_27_x86_64.whl', {
			'l/libnvrtc.so.13': Buffer.from(fakeProvider('x', 'libc.so.6')),
		});
		server.html.add('nvidia-cudnn-cu13');
		const wheels = await planWheels(report.packages, server.url);
		const now = await installWheels(wheels, here, manifest, quiet);
		expect(Object.keys(now.packages)).toEqual(['nvidia-cuda-runtime 13.2.1', 'nvidia-cudnn-cu13 9.1.0', 'nvidia-cuda-nvrtc 13.0.0']);
		expect(readManifest(here)).toEqual(now);
		expect(readdirSync(librariesDir(here)).toSorted()).toEqual(['libcudart.so.13', 'libcudnn.so', 'libcudnn.so.9', 'libnvrtc.so.13']);
		const second = libraryReport(here, 13, noLibraries);
		expect(second.missing).toEqual([{ name: 'libcublas.so.13', neededBy: join(librariesDir(here), 'libcudnn.so.9') }]);
		expect(gpuEnvironment(here, { LD_LIBRARY_PATH: '/a' })).toEqual({ LD_LIBRARY_PATH: `${librariesDir(here)}:/a` });
		expect(gpuEnvironment(here, { LD_LIBRARY_PATH: librariesDir(here) })).toEqual({});

		// A new installation of the packages takes the link away; nothing has to be fetched for it.
		rmSync(join(here.bindingDir, 'libonnxruntime_providers_cuda.so'));
		await linkProvider(here);
		expect(existsSync(join(here.bindingDir, 'libonnxruntime_providers_cuda.so'))).toBe(true);
	});

	const refused: [name: string, files: () => Record<string, Buffer>, why: RegExp][] = [
		['of another version', () => wheelFiles(fakeProvider('1.29.0')), /is not of ONNX Runtime 1\.30\.0/],
		['that is no provider', () => wheelFiles(plainLibrary()), /is no CUDA provider/],
		['that is no library', () => wheelFiles(Buffer.from('x')), /cannot be read as a library/],
		['without one', () => ({ 'a/b.txt': Buffer.from('x') }), /holds no libonnxruntime_providers_cuda\.so/],
	];
	it.each(refused)('refuses an archive %s, and leaves nothing behind', async (_name, files, why) => {
		const here = places();
		const file = join(folder, 'x.nupkg');
		writeFileSync(file, storedZip(files()));
		await expect(installProvider({ index: server.url, provider: file }, here, quiet)).rejects.toThrow(why);
		expect(readdirSync(here.bindingDir)).toEqual([]);
		expect(existsSync(join(here.home, 'gpu.json'))).toBe(false);
	});

	it('refuses wrong hashes, damaged archives, and an index without the version', async () => {
		const here = places();
		const zero = '0'.repeat(64);
		const file = join(folder, 'x.whl');
		writeFileSync(file, 'no zip');
		await expect(installProvider({ index: server.url, provider: file, sha256: zero }, here, quiet)).rejects.toThrow(
			/has the sha256 \w{64} and not 0{64}/,
		);
		await expect(installProvider({ index: server.url, provider: file }, here, quiet)).rejects.toThrow(/cannot be unpacked/);
		await expect(installProvider({ index: server.url, provider: join(folder, 'none') }, here, quiet)).rejects.toThrow(/There is no file/);
		await expect(installProvider({ index: server.url }, here, quiet)).rejects.toThrow(/answers 404 for the package onnxruntime-gpu/);
		server.add('onnxruntime-gpu', WHEEL.replaceAll('1.30.0', '1.31.0'), {});
		await expect(installProvider({ index: server.url }, here, quiet)).rejects.toThrow(/has no onnxruntime-gpu 1\.30\.0/);
		server.add('onnxruntime-gpu', WHEEL, wheelFiles(fakeProvider()));
		server.wrongHash.set(WHEEL, zero);
		await expect(installProvider({ index: server.url }, here, quiet)).rejects.toThrow(/arrived damaged 2 times/);
		expect(readdirSync(here.bindingDir)).toEqual([]);
	});

	it('takes an address too, and says when there was nothing to compare with', async () => {
		const here = places();
		server.add('x', 'p.nupkg', wheelFiles(fakeProvider()));
		const notes: string[] = [];
		const provider = `${server.url.replace('/simple', '/files')}/x/p.nupkg`;
		await installProvider({ index: server.url, provider }, here, { ...quiet, onNote: (note) => notes.push(note) });
		expect(notes.join()).toMatch(/sha256 \w{64}, not compared with anything/);
		await expect(installProvider({ index: server.url, provider: `${provider}x` }, here, quiet)).rejects.toThrow(/answers 404/);
	});

	it('looks for libraries beside the file, in the folders given and in the system', () => {
		expect(missingLibraries(binding, libraryFinder([]))).toEqual([]);
		const alone = join(folder, 'alone.node');
		writeFileSync(alone, plainLibrary());
		expect(missingLibraries(alone, libraryFinder([])).map(({ name }) => name)).toEqual(['libonnxruntime.so.1']);
		expect(missingLibraries(alone, libraryFinder([ortFolder]))).toEqual([]);
	});
});

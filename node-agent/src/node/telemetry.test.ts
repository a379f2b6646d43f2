import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { coarse, cpuShare, cpuTimes, parseNvidia, Sampler, treeRss } from './telemetry.ts';

const core = (busy: number, idle: number) => ({ times: { user: busy, nice: 0, sys: 0, irq: 0, idle } });

describe('readings', () => {
	it('share of the processors', () => {
		expect(cpuShare(cpuTimes([core(10, 90), core(0, 100)]), cpuTimes([core(60, 140), core(50, 150)]))).toBe(0.5);
		expect(cpuShare(cpuTimes([core(1, 1)]), cpuTimes([core(1, 1)]))).toBe(0);
	});

	it('memory of a process and all below it, whatever the order of the table', () => {
		const table = '  30 20 300\n  10 1 100\n  20 10 200\n  99 1 5000\n';
		expect(treeRss(table, 10)).toBe(600 * 1024);
		expect(treeRss(table, 30)).toBe(300 * 1024);
		expect(treeRss(table, 11)).toBeUndefined();
		expect(treeRss('nonsense', 10)).toBeUndefined();
	});

	it('cards of NVIDIA, without what one does not tell', () => {
		expect(parseNvidia('NVIDIA H100 80GB HBM3, 35, 1024, 81559, 41, 118.52\nTesla T4, [N/A], 512, 15360, 50, [N/A]\n')).toEqual([
			{ name: 'NVIDIA H100 80GB HBM3', util: 0.35, memUsedBytes: 2 ** 30, memTotalBytes: 81_559 * 2 ** 20, tempC: 41, powerW: 118.52 },
			{ name: 'Tesla T4', memUsedBytes: 2 ** 29, memTotalBytes: 15 * 2 ** 30, tempC: 50 },
		]);
		expect(parseNvidia('')).toEqual([]);
	});

	it('of this machine, with its children', async () => {
		const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 20000)'], { stdio: 'ignore' });
		try {
			const sampler = new Sampler();
			await new Promise((resolve) => setTimeout(resolve, 300));
			const { rssBytes, cpuUtil } = await sampler.read();
			expect(rssBytes).toBeGreaterThan(process.memoryUsage.rss() * 0.8);
			expect(cpuUtil).toBeGreaterThanOrEqual(0);
			expect(cpuUtil).toBeLessThanOrEqual(1);
		} finally {
			child.kill('SIGKILL');
		}
	});

	it('asks once for a command that is not there, and again for one that failed', async () => {
		const asked: string[] = [];
		const sampler = new Sampler(async (command) => {
			asked.push(command);
			throw Object.assign(new Error('x'), { code: command === 'ps' ? 'ENOENT' : 'EIO' });
		});
		for (let i = 0; i < 2; i++) expect((await sampler.read()).rssBytes).toBeGreaterThan(0);
		expect(asked.filter((command) => command === 'ps')).toHaveLength(process.platform === 'win32' ? 0 : 1);
		expect(asked.filter((command) => command === 'nvidia-smi')).toHaveLength(2);
	});

	it('are no news when little has changed', () => {
		const readings = { rssBytes: 1e9, cpuUtil: 0.02 };
		expect(coarse({ rssBytes: 1.01e9, cpuUtil: 0.04 })).toBe(coarse(readings));
		expect(coarse({ ...readings, cpuUtil: 0.9 })).not.toBe(coarse(readings));
		expect(coarse({ ...readings, gpus: [{ tempC: 80 }] })).not.toBe(coarse(readings));
	});
});

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { mockModel } from '../models/store.ts';
import { SlotManager } from './manager.ts';
import type { SlotOutcome } from './state.ts';
import { forkWorkers } from './workers.ts';

const grant = { jobId: 'j', index: 0, epoch: 1 };
const request = {
	task: 'txt2img',
	prompt: 'p',
	negativePrompt: null,
	width: 64,
	height: 64,
	steps: 1,
	guidance: 1,
	seed: 1,
	pasteBack: true,
} as const;

it('gives each slot its engine, its GPU and the folder of libraries, and each picture the warning', async () => {
	const outcomes: SlotOutcome[] = [];
	const environ = new Map<string, string>();
	const manager: SlotManager = new SlotManager({
		startWorker: forkWorkers({
			engine: { kind: 'mock', options: { stepMs: 0, loadMs: 0 } },
			engineOf: (slotId) => ({ kind: 'mock', options: { stepMs: 0, loadMs: Number(slotId) } }),
			env: (slotId) => ({ LD_LIBRARY_PATH: '/gpu/lib', CUDA_VISIBLE_DEVICES: `GPU-${slotId}` }),
			warnings: ['Made on the CPU, because CUDA: it is broken.'],
		}),
		onSettled: (slotId, _task, outcome) => {
			outcomes.push(outcome);
			const pid = manager.pidOf(slotId);
			if (process.platform === 'linux') environ.set(slotId, readFileSync(`/proc/${pid}/environ`, 'latin1'));
		},
	});
	manager.resize(2);
	for (const slot of ['0', '1']) manager.run(slot, { key: slot, grant, request, model: mockModel('m'), inputs: {}, watched: false });
	await expect.poll(() => outcomes.length, { timeout: 20_000 }).toBe(2);
	await manager.stop();
	for (const outcome of outcomes)
		expect(outcome).toMatchObject({ kind: 'done', meta: { warnings: ['Made on the CPU, because CUDA: it is broken.'] } });
	for (const [slot, text] of environ) {
		expect(text.split('\0')).toContain('LD_LIBRARY_PATH=/gpu/lib');
		expect(text.split('\0')).toContain(`CUDA_VISIBLE_DEVICES=GPU-${slot}`);
	}
});

/**
 * Tries a model in an engine process of its own: one step, so that files, device and memory are proven to work.
 * @module
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import type { EngineConfig } from '../engines/create.ts';
import type { StoredModel } from '../models/store.ts';
import { SlotManager } from '../slots/manager.ts';
import type { SlotOutcome } from '../slots/state.ts';
import { forkWorkers } from '../slots/workers.ts';

export type TrialResult = { ok: true; loadMs: number; totalMs: number } | { ok: false; sentence: string };

/** What a model is tried with: drawing from words, or for one that does not do that, repainting all of a white picture. */
const taskOf = ({ info: { operations } }: StoredModel): 'txt2img' | 'img2img' | 'inpaint' =>
	operations.includes('txt2img') ? 'txt2img' : (operations[0] ?? 'txt2img');

/** Loads the model and makes one picture with one step at its native size. */
export const tryModel = async (engine: EngineConfig, model: StoredModel, env: Record<string, string> = {}): Promise<TrialResult> => {
	const folder = await mkdtemp(join(tmpdir(), 'limner-trial-'));
	try {
		return await tryWith(join(folder, 'white.png'), engine, model, env);
	} finally {
		await rm(folder, { recursive: true, force: true });
	}
};

const tryWith = async (white: string, engine: EngineConfig, model: StoredModel, env: Record<string, string>): Promise<TrialResult> => {
	const { info } = model;
	const task = taskOf(model);
	const size = { width: info.nativeWidth, height: info.nativeHeight };
	if (task !== 'txt2img')
		await sharp({ create: { ...size, channels: 3, background: 'white' } })
			.png()
			.toFile(white);
	const outcome = await new Promise<SlotOutcome>((resolve) => {
		const manager = new SlotManager({
			startWorker: forkWorkers({ engine, env: () => env }),
			onSettled: (_slotId, _task, result) => {
				void manager.stop().then(() => resolve(result));
			},
		});
		manager.resize(1);
		manager.run('0', {
			key: 'trial',
			grant: { jobId: 'trial', index: 0, epoch: 1 },
			request: {
				task,
				prompt: 'a lighthouse',
				negativePrompt: null,
				...size,
				steps: 1,
				guidance: 1,
				seed: 1,
				pasteBack: true,
			},
			model,
			inputs: { txt2img: {}, img2img: { init: white }, inpaint: { init: white, mask: white } }[task],
			watched: false,
		});
	});
	if (outcome.kind === 'done') return { ok: true, loadMs: outcome.loadMs, totalMs: outcome.totalMs };
	return { ok: false, sentence: outcome.kind === 'failed' ? outcome.message : 'It was cancelled.' };
};

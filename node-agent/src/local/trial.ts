/**
 * Tries a model in an engine process of its own: one step, so that files, device and memory are proven to work.
 * @module
 */
import type { EngineConfig } from '../engines/create.ts';
import type { StoredModel } from '../models/store.ts';
import { SlotManager } from '../slots/manager.ts';
import type { SlotOutcome } from '../slots/state.ts';
import { forkWorkers } from '../slots/workers.ts';

export type TrialResult = { ok: true; loadMs: number; totalMs: number } | { ok: false; sentence: string };

/** Loads the model and makes one picture with one step at its native size. */
export const tryModel = async (engine: EngineConfig, model: StoredModel, env: Record<string, string> = {}): Promise<TrialResult> => {
	const { info } = model;
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
				task: 'txt2img',
				prompt: 'a lighthouse',
				negativePrompt: null,
				width: info.nativeWidth,
				height: info.nativeHeight,
				steps: 1,
				guidance: 1,
				seed: 1,
				pasteBack: true,
			},
			model,
			inputs: {},
			watched: false,
		});
	});
	if (outcome.kind === 'done') return { ok: true, loadMs: outcome.loadMs, totalMs: outcome.totalMs };
	return { ok: false, sentence: outcome.kind === 'failed' ? outcome.message : 'It was cancelled.' };
};

/**
 * What an A1111 answer tells of its pictures. Pure.
 * @module
 */
import { infotext, LIMNER_VERSION, resolveScheduler, SCHEDULERS, type ImageRecord, type JobSpec } from '@limner/shared';

const HASH_CHARS = 10;

const modelHash = (record: Pick<ImageRecord, 'meta'> | undefined): string => {
	const hash = record?.meta?.['modelSha256'];
	return typeof hash === 'string' ? hash : '';
};

const samplerLabel = (scheduler: string): string => {
	const name = resolveScheduler(scheduler);
	return name === undefined ? scheduler : SCHEDULERS[name].label;
};

/** `20260102030405`, in UTC. */
export const timestamp = (ms: number): string => new Date(ms).toISOString().replaceAll(/\D/g, '').slice(0, 14);

/** What a second pass adds. */
export interface SecondPass {
	strength: number;
	params: Record<string, string | number>;
}

/** How the picture was made, in the web UI's form; what the picture itself carries, unless there was a second pass. */
export const infotextOf = (spec: JobSpec, record: Pick<ImageRecord, 'seed' | 'meta'>, second?: SecondPass): string =>
	infotext({
		version: LIMNER_VERSION,
		request: { ...spec, seed: record.seed },
		model: { name: spec.model, sha256: modelHash(record) },
		...(second === undefined ? {} : { extra: { 'Denoising strength': second.strength, ...second.params } }),
	});

/**
 * The value of `info`: JSON inside a text.
 * @param spec of the first pass
 */
export const infoOf = (spec: JobSpec, records: readonly ImageRecord[], startedAt: number, second?: SecondPass): string => {
	const seeds = records.map((record) => record.seed);
	return JSON.stringify({
		prompt: spec.prompt,
		all_prompts: records.map(() => spec.prompt),
		negative_prompt: spec.negativePrompt ?? '',
		all_negative_prompts: records.map(() => spec.negativePrompt ?? ''),
		seed: spec.seed,
		all_seeds: seeds,
		subseed: spec.seed,
		all_subseeds: seeds,
		subseed_strength: 0,
		width: spec.width,
		height: spec.height,
		sampler_name: samplerLabel(spec.scheduler),
		cfg_scale: spec.guidance,
		steps: spec.steps,
		batch_size: spec.n,
		restore_faces: false,
		face_restoration_model: null,
		sd_model_name: spec.model,
		sd_model_hash: modelHash(records[0]).slice(0, HASH_CHARS),
		sd_vae_name: null,
		sd_vae_hash: null,
		seed_resize_from_w: -1,
		seed_resize_from_h: -1,
		denoising_strength: second?.strength ?? spec.strength ?? null,
		extra_generation_params: second?.params ?? {},
		index_of_first_image: 0,
		infotexts: records.map((record) => infotextOf(spec, record, second)),
		styles: [],
		job_timestamp: timestamp(startedAt),
		clip_skip: 1,
		is_using_inpainting_conditioning: false,
		version: `limner ${LIMNER_VERSION}`,
	});
};

/**
 * What a person is about to ask for. Pure, but for the stored value at the end.
 * @module
 */
import type { GalleryImage, GenerateRequest, ImageMetadata, Model } from '@limner/sdk';
import { createStored } from '../../lib/value.ts';
import { t } from '../../strings.ts';

/** Absent values are the model's own. */
export interface Draft {
	prompt: string;
	negative: string;
	model?: string;
	width?: number;
	height?: number;
	steps?: number;
	guidance?: number;
	scheduler?: string;
	/** Present: kept for every picture that is asked for. */
	seed?: number;
	n: number;
}

export const EMPTY: Draft = { prompt: '', negative: '', n: 1 };
export const SEED_END = 2 ** 32;
export const MIN_SIDE = 64;
export const MAX_SIDE = 2048;

/** All settings of a draft, those of the model where the draft leaves them to it. */
export const effective = (draft: Draft, model: Model) => ({
	width: draft.width ?? model.nativeWidth,
	height: draft.height ?? model.nativeHeight,
	steps: draft.steps ?? model.defaults.steps,
	guidance: draft.guidance ?? model.defaults.guidance,
	scheduler: draft.scheduler ?? model.defaults.scheduler,
});

export interface SizePreset {
	name: string;
	width: number;
	height: number;
}

const SHAPES = [
	['square', 1, 1],
	['portrait34', 3, 4],
	['landscape43', 4, 3],
	['portrait23', 2, 3],
	['landscape32', 3, 2],
	['wide', 16, 9],
	['tall', 9, 16],
] as const;

/** Sizes of about the model's own area, at multiples that it can draw. */
export const presets = (model: Model): SizePreset[] => {
	const area = model.nativeWidth * model.nativeHeight;
	const fit = (side: number): number => Math.min(MAX_SIDE, Math.max(MIN_SIDE, Math.round(side / model.sizeMultiple) * model.sizeMultiple));
	return SHAPES.map(([shape, w, h]) => ({
		name: t.create.shapes[shape],
		width: fit(Math.sqrt((area * w) / h)),
		height: fit(Math.sqrt((area * h) / w)),
	}));
};

/** Every reason why pictures cannot be asked for yet. */
export const problems = (draft: Draft, model: Model | undefined): string[] => {
	const found: string[] = [];
	if (draft.prompt.trim() === '') found.push(t.create.why.prompt);
	if (model === undefined) return [...found, t.create.why.model];
	const { width, height } = effective(draft, model);
	if (width % model.sizeMultiple !== 0 || height % model.sizeMultiple !== 0) found.push(`${t.create.why.size} ${model.sizeMultiple}.`);
	return found;
};

/** The request of a draft; without a kept seed `random` makes one. */
export const toRequest = (draft: Draft, model: Model, random: () => number): GenerateRequest => {
	const negative = draft.negative.trim();
	return {
		prompt: draft.prompt.trim(),
		...(negative === '' ? {} : { negativePrompt: negative }),
		model: model.name,
		...effective(draft, model),
		n: draft.n,
		seed: draft.seed ?? Math.floor(random() * SEED_END),
	};
};

export type Recall = 'all' | 'prompt' | 'seed' | 'remix';

/** A draft after taking over settings of a picture. */
export const recall = (draft: Draft, image: GalleryImage | ImageMetadata, what: Recall): Draft => {
	if (what === 'prompt') return { ...draft, prompt: image.prompt };
	if (what === 'seed') return { ...draft, seed: image.seed };
	const request = 'request' in image ? image.request : undefined;
	const { seed: _seed, ...rest } = draft;
	return {
		...rest,
		prompt: image.prompt,
		negative: request?.negativePrompt ?? '',
		model: image.model,
		width: image.width,
		height: image.height,
		...(request === undefined ? {} : { steps: request.steps, guidance: request.guidance, scheduler: request.scheduler }),
		...(what === 'all' ? { seed: image.seed } : {}),
		n: 1,
	};
};

/** A draft with one setting changed; `undefined` gives it back to the model. */
export const withSetting = <K extends keyof Draft>(draft: Draft, name: K, value: Draft[K] | undefined): Draft => {
	const { [name]: _old, ...rest } = draft;
	return (value === undefined ? rest : { ...rest, [name]: value }) as Draft;
};

/** Survives reloads. */
export const draft = createStored<Draft>('limner.draft', EMPTY);

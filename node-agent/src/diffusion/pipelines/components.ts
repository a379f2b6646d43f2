import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { denoiserFolder, type ComponentConfig, type ModelFolderInfo } from '../../models/layout.ts';
import { ModelFolderError } from '../errors.ts';
import { readJsonFile } from '../files.ts';
import type { PreviewMap } from '../latents.ts';
import { builtInPreview } from '../preview-maps.ts';
import type { RawConfig } from '../schedulers/index.ts';
import { ModelSession, type RunClock, type SessionOptions } from '../session.ts';
import { loadTokenizer, type PromptTokenizer } from '../tokenizers/index.ts';
import { EmbeddingCache, sd3PromptEncoder, sdPromptEncoder, sdxlPromptEncoder, type PromptEncoder, type TextEncoder } from './text.ts';
import { decoderFallback, Vae } from './vae.ts';

/** A loaded model: everything that `generate` needs. */
export interface Components {
	schedulerConfig: RawConfig;
	tokenizers: PromptTokenizer[];
	embeddings: EmbeddingCache;
	/** null negative prompt means zero vectors instead of the empty text. */
	zerosForMissing: boolean;
	denoiser: ModelSession;
	denoiserConfig: ComponentConfig;
	vae: Vae;
	preview: PreviewMap | null;
	clock: RunClock;
	release(): Promise<void>;
}

/** Called after each loaded part with the fraction done and its name. */
export type LoadProgress = (fraction: number, what: string) => void;

/** How a model is loaded. */
export interface ComponentOptions extends SessionOptions {
	/** Pictures of more pixels than this pass the autoencoder in tiles. */
	vaeTileAbovePx?: number;
}

const TEXT_PARTS = ['text_encoder', 'text_encoder_2', 'text_encoder_3'] as const;

/**
 * Opens the sessions of a model folder; the picture encoder is opened when a request first needs it.
 * @throws ModelFolderError or InferenceError; sessions opened before the failure are released
 */
export async function loadComponents(info: ModelFolderInfo, options: ComponentOptions, onProgress: LoadProgress): Promise<Components> {
	const clock: RunClock = { ms: 0 };
	const opened: ModelSession[] = [];
	const release = async (): Promise<void> => {
		for (const session of opened.splice(0)) await session.release();
	};
	const total = Math.max(1, Object.keys(info.tensors).filter((name) => name !== 'vae_encoder').length);
	const openPart: OpenPart = async (name, { file = 'model.onnx', providers } = {}) => {
		const chosen = providers === undefined ? options : { ...options, executionProviders: providers };
		const session = await ModelSession.open(join(info.dir, name, file), chosen, clock);
		opened.push(session);
		onProgress(Math.min(1, opened.length / total), name);
		return session;
	};
	try {
		return { ...(await openAll(info, openPart, options)), clock, release };
	} catch (error) {
		await release();
		throw error;
	}
}

type OpenPart = (name: string, how?: { file?: string; providers?: string[] }) => Promise<ModelSession>;

async function openAll(
	info: ModelFolderInfo,
	openPart: OpenPart,
	options: ComponentOptions,
): Promise<Omit<Components, 'clock' | 'release'>> {
	const denoiserName = denoiserFolder(Object.keys(info.tensors));
	const config = (name: string): Promise<ComponentConfig> => readJsonFile(join(info.dir, name, 'config.json'));
	const index = await readJsonFile<RawConfig>(join(info.dir, 'model_index.json'));
	const encoders: TextEncoder[] = [];
	for (const part of TEXT_PARTS) {
		if (info.tensors[part] === undefined) continue;
		const folder = join(info.dir, part.replace('text_encoder', 'tokenizer'));
		const tokenizer = await loadTokenizer(folder);
		requireMatch(tokenizer, folder, await config(part), join(info.dir, part));
		encoders.push({ tokenizer, session: await openPart(part) });
	}
	const denoiser = await openPart(denoiserName);
	const denoiserConfig = await config(denoiserName);
	const vae = await openVae(info, await config('vae_decoder'), openPart, options);
	const prompts = promptEncoder(info, encoders, index, denoiserConfig);
	return {
		schedulerConfig: await readJsonFile<RawConfig>(join(info.dir, 'scheduler', 'scheduler_config.json')),
		tokenizers: encoders.map((e) => e.tokenizer),
		embeddings: new EmbeddingCache(prompts),
		zerosForMissing: prompts.zerosForMissing,
		denoiser,
		denoiserConfig,
		vae,
		preview: await previewMap(info, vae),
	};
}

/** A vocabulary that fills less than this share of an encoder's embeddings was made for another one. */
const USUAL_FILL = 0.9;

/**
 * Ids that an encoder does not know would fail deep inside the graph, and a smaller vocabulary would draw something else.
 * @throws ModelFolderError when the tokenizer was made for another encoder
 */
function requireMatch(tokenizer: PromptTokenizer, folder: string, config: ComponentConfig, encoder: string): void {
	const { vocab_size: known, max_position_embeddings: positions } = config;
	const few = typeof known === 'number' && tokenizer.size < known * USUAL_FILL;
	const ids = few ? tokenizer.size : tokenizer.largestId + 1;
	const wrongIds = few || (typeof known === 'number' && ids > known);
	const tooLong = typeof positions === 'number' && tokenizer.length > positions;
	if (!wrongIds && !tooLong) return;
	const why = wrongIds ? `it has ${ids} tokens and the encoder knows ${String(known)}` : 'it is for another kind of encoder';
	throw new ModelFolderError(`${folder} is not the tokenizer of ${encoder}: ${why}; download the model again.`);
}

/** File that a decoder may be exported to in float32 beside a half-precision one. */
const FULL_DECODER = 'model_fp32.onnx';

async function openVae(info: ModelFolderInfo, config: ComponentConfig, openPart: OpenPart, options: ComponentOptions): Promise<Vae> {
	let encoder: Promise<ModelSession> | null = null;
	const hasFull = existsSync(join(info.dir, 'vae_decoder', FULL_DECODER));
	const fallback = decoderFallback(options.executionProviders ?? ['cpu'], hasFull);
	const file = fallback === 'full-export' ? FULL_DECODER : 'model.onnx';
	return new Vae(config, info.family, await openPart('vae_decoder'), () => (encoder ??= openPart('vae_encoder')), {
		openFallback: fallback === null ? null : () => openPart('vae_decoder', { file, providers: ['cpu'] }),
		...(options.vaeTileAbovePx === undefined ? {} : { tileAbovePx: options.vaeTileAbovePx }),
	});
}

function promptEncoder(
	info: ModelFolderInfo,
	encoders: readonly TextEncoder[],
	index: RawConfig,
	denoiser: ComponentConfig,
): PromptEncoder {
	if (info.family === 'sd3') {
		const t5 = info.tensors['text_encoder_3'] === undefined ? null : (encoders.at(-1) ?? null);
		return sd3PromptEncoder(encoders.slice(0, 2), t5, denoiser.joint_attention_dim ?? 4096);
	}
	if (info.family === 'sdxl') return sdxlPromptEncoder(encoders, index['force_zeros_for_empty_prompt'] !== false);
	return sdPromptEncoder(encoders[0] as TextEncoder);
}

/** The model's own preview.json, else a table for its autoencoder. */
async function previewMap(info: ModelFolderInfo, vae: Vae): Promise<PreviewMap | null> {
	const path = join(info.dir, 'preview.json');
	if (existsSync(path)) return readJsonFile<PreviewMap>(path);
	return builtInPreview(info.family, vae.className, vae.channels);
}

import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, join, relative, resolve, sep } from 'node:path';
import { REQUEST_LIMITS } from '@limner/shared';
import { ModelFolderError } from '../diffusion/errors.ts';
import { readJsonFile } from '../diffusion/files.ts';
import { readOnnxTypes, type OnnxTypes } from '../diffusion/onnx-header.ts';
import { isFlowConfig, ownSchedulerName, type RawConfig } from '../diffusion/schedulers/index.ts';

export { ModelFolderError } from '../diffusion/errors.ts';

export type Operation = 'txt2img' | 'img2img' | 'inpaint';
export type ModelFamily = 'sd' | 'sdxl' | 'sd3';

/** Values a request gets when it leaves them out. */
export interface ModelDefaults {
	steps: number;
	guidance: number;
	scheduler: string;
}

/** `limner.json`: our own card beside model_index.json; every field is optional. */
export interface ModelCard {
	name?: string;
	displayName?: string;
	description?: string;
	licence?: string;
	defaults?: Partial<ModelDefaults>;
	nativeWidth?: number;
	nativeHeight?: number;
	/** What the model was trained to draw: group → words, or one sentence. */
	scope?: Record<string, string[]> | string;
}

/** What a model folder holds, found without loading any session. */
export interface ModelFolderInfo {
	/** The folder's name, or the card's. */
	name: string;
	dir: string;
	family: ModelFamily;
	pipelineClass: string;
	operations: Operation[];
	nativeWidth: number;
	nativeHeight: number;
	/** Widths and heights must be a multiple of this many pixels; where latent cells of a U-Net are larger, the frame makes up for it. */
	sizeMultiple: number;
	defaults: ModelDefaults;
	bytes: number;
	/** Over "path\0sha256 of the file\n" of every file that the model is made of, sorted by path. */
	sha256: string;
	/** Component folder → element types of its graph. */
	tensors: Record<string, OnnxTypes>;
	displayName?: string;
	description?: string;
	licence?: string;
	scope?: Record<string, string[]> | string;
}

/** Remembers file hashes between calls; the key changes whenever the file does. */
export interface HashCache {
	get(key: string): string | undefined | Promise<string | undefined>;
	set(key: string, sha256: string): void | Promise<void>;
}

/** Component configs as far as the runtime reads them. */
export interface ComponentConfig extends RawConfig {
	in_channels?: number;
	sample_size?: number;
	block_out_channels?: number[];
	down_block_types?: string[];
	time_cond_proj_dim?: number | null;
	joint_attention_dim?: number;
	patch_size?: number;
	latent_channels?: number;
	scaling_factor?: number | null;
	shift_factor?: number | null;
	latents_mean?: number[] | null;
	latents_std?: number[] | null;
}

interface FileEntry {
	path: string;
	bytes: number;
	modified: number;
}

const DEFAULT_SAMPLE_SIZE = 64;
const FAMILY_DEFAULTS: Readonly<Record<ModelFamily, { steps: number; guidance: number }>> = {
	sd: { steps: 30, guidance: 7.5 },
	sdxl: { steps: 30, guidance: 5 },
	sd3: { steps: 28, guidance: 7 },
};
const TURBO_DEFAULTS = { steps: 2, guidance: 0 };
const LCM_DEFAULTS = { steps: 4, guidance: 8 };

/**
 * Describes a model folder in the diffusers/optimum layout from its files alone.
 * @throws ModelFolderError with one plain sentence when a file is missing, empty or broken
 */
export async function inspectModelFolder(folder: string, options: { hashCache?: HashCache } = {}): Promise<ModelFolderInfo> {
	const dir = resolve(folder);
	const index = await readIndex(dir);
	const files = (await listFiles(dir)).filter((file) => isModelFile(file.path));
	const components = requiredComponents(index, dir, files);
	const tensors: Record<string, OnnxTypes> = {};
	for (const component of components) tensors[component] = await componentTypes(dir, component);

	const card = await readJsonFile<ModelCard>(join(dir, 'limner.json'), {});
	const scheduler = await readJsonFile<RawConfig>(join(dir, 'scheduler', 'scheduler_config.json'));
	const denoiserName = denoiserFolder(components);
	const denoiser = await readJsonFile<ComponentConfig>(join(dir, denoiserName, 'config.json'));
	const decoder = await readJsonFile<ComponentConfig>(join(dir, 'vae_decoder', 'config.json'));
	const family = familyOf(index, components);
	const factor = vaeFactor(decoder);
	const native = (denoiser.sample_size ?? DEFAULT_SAMPLE_SIZE) * factor;
	const operations = operationsOf(denoiser, components);
	return {
		name: card.name ?? basename(dir),
		dir,
		family,
		pipelineClass: pipelineClassOf(index),
		operations,
		nativeWidth: card.nativeWidth ?? native,
		nativeHeight: card.nativeHeight ?? native,
		sizeMultiple: denoiserName === 'transformer' ? factor * (denoiser.patch_size ?? 2) : Math.min(factor, REQUEST_LIMITS.sizeMultiplePx),
		defaults: { ...defaultsOf(family, scheduler, denoiser), ...card.defaults },
		bytes: files.reduce((sum, f) => sum + f.bytes, 0),
		sha256: await hashFolder(dir, files, options.hashCache),
		tensors,
		...optional(card),
	};
}

/** The card's texts, without keys that it leaves out. */
function optional(card: ModelCard): Pick<ModelCard, 'displayName' | 'description' | 'licence' | 'scope'> {
	const picked: Pick<ModelCard, 'displayName' | 'description' | 'licence' | 'scope'> = {};
	if (card.displayName !== undefined) picked.displayName = card.displayName;
	if (card.description !== undefined) picked.description = card.description;
	if (card.licence !== undefined) picked.licence = card.licence;
	if (card.scope !== undefined) picked.scope = card.scope;
	return picked;
}

/** Pixels per latent cell: every autoencoder level but the first halves the size. */
export function vaeFactor(vae: ComponentConfig): number {
	return 2 ** ((vae.block_out_channels?.length ?? 4) - 1);
}

/** Latent cells per side must be a multiple of this: patches of a transformer, halvings of a U-Net. */
export function latentMultiple(denoiser: ComponentConfig): number {
	if (denoiser.patch_size !== undefined) return denoiser.patch_size;
	const levels = denoiser.down_block_types?.length ?? denoiser.block_out_channels?.length ?? 1;
	return 2 ** (levels - 1);
}

/** `unet` or `transformer`. */
export function denoiserFolder(components: readonly string[]): 'unet' | 'transformer' {
	return components.includes('transformer') ? 'transformer' : 'unet';
}

function pipelineClassOf(index: RawConfig): string {
	const name = index['_class_name'];
	return typeof name === 'string' ? name : 'unknown';
}

function familyOf(index: RawConfig, components: readonly string[]): ModelFamily {
	if (components.includes('transformer')) return 'sd3';
	if (components.includes('text_encoder_2') || pipelineClassOf(index).includes('XL')) return 'sdxl';
	return 'sd';
}

/** A network with mask channels repaints only; without an encoder no picture can be an input. */
function operationsOf(denoiser: ComponentConfig, components: readonly string[]): Operation[] {
	const masked = denoiser.in_channels === 9 || denoiser.in_channels === 33;
	if (masked) return ['inpaint'];
	return components.includes('vae_encoder') ? ['txt2img', 'img2img', 'inpaint'] : ['txt2img'];
}

/** Distilled models are recognised by their files: a guidance input (LCM), or trailing ε-steps (Turbo). */
function defaultsOf(family: ModelFamily, scheduler: RawConfig, denoiser: ComponentConfig): ModelDefaults {
	const name = ownSchedulerName(scheduler) ?? (isFlowConfig(scheduler) ? 'flow_euler' : 'euler');
	if (typeof denoiser.time_cond_proj_dim === 'number' || name === 'lcm') return { ...LCM_DEFAULTS, scheduler: name };
	const euler = name === 'euler' || name === 'euler_a';
	const turbo = euler && scheduler['timestep_spacing'] === 'trailing' && scheduler['prediction_type'] === 'epsilon';
	return { ...(turbo ? TURBO_DEFAULTS : FAMILY_DEFAULTS[family]), scheduler: name };
}

async function readIndex(dir: string): Promise<RawConfig> {
	const path = join(dir, 'model_index.json');
	if (existsSync(dir) && !existsSync(path)) refuseTorchWeights(dir, await listFiles(dir));
	return readJsonFile<RawConfig>(path);
}

/** What to do with a single checkpoint: it has to be taken apart first, for optimum only reads diffusers folders. */
const EXPORT_CHECKPOINT =
	'convert it to a diffusers folder first (StableDiffusionPipeline.from_single_file(…).save_pretrained(…)), then run: optimum-cli export onnx --model <that folder> <new folder>';

/** Why a single file is no model, and what to do with it. */
export function singleFileSentence(path: string): string {
	if (!TORCH_FILE.test(path)) return `${path} is a file; a model is a folder with model_index.json in it.`;
	if (/lora/i.test(basename(path))) {
		return `${path} holds a LoRA, which cannot be added to an ONNX model; merge it into its base model with diffusers (load_lora_weights, fuse_lora, save_pretrained) and export that.`;
	}
	return `${path} holds PyTorch weights; ${EXPORT_CHECKPOINT}.`;
}

/** Endings of PyTorch weights, which this engine does not run. */
const TORCH_FILE = /\.(safetensors|ckpt|bin|pt|pth)$/i;

/**
 * Tells a folder of PyTorch weights from one with missing files: the remedy is an export, not a download.
 * @param component only files of this folder count
 * @throws ModelFolderError that names a file of them and the command that exports the model
 */
function refuseTorchWeights(dir: string, files: readonly FileEntry[], component?: string): void {
	const found = files.find((f) => TORCH_FILE.test(f.path) && (component === undefined || f.path.startsWith(`${component}/`)));
	if (found === undefined) return;
	const single = component === undefined && !found.path.includes('/');
	const how = single ? EXPORT_CHECKPOINT : `export it with: optimum-cli export onnx --model ${dir} ${dir}-onnx`;
	throw new ModelFolderError(`${join(dir, found.path)} holds PyTorch weights and this folder has no ONNX files for them; ${how}.`);
}

/** Folders with a graph that this pipeline needs or may use; text_encoder_3 and vae_encoder may be absent. */
function requiredComponents(index: RawConfig, dir: string, files: readonly FileEntry[]): string[] {
	const present = new Set(files.filter((f) => basename(f.path) === 'model.onnx').map((f) => f.path.split('/')[0] as string));
	const declared = (name: string): boolean => Array.isArray(index[name]) && (index[name] as unknown[])[0] !== null;
	const denoiser = declared('transformer') ? 'transformer' : 'unet';
	const needed = [denoiser, 'vae_decoder', ...['text_encoder', 'text_encoder_2'].filter(declared)];
	for (const name of needed) {
		if (!present.has(name)) {
			refuseTorchWeights(dir, files, name);
			throw new ModelFolderError(`${join(dir, name, 'model.onnx')} is missing; download the model again, with all files of ${name}/.`);
		}
	}
	const empty = files.find((f) => f.bytes === 0);
	if (empty !== undefined) throw new ModelFolderError(`${join(dir, empty.path)} is empty; download that file again.`);
	return [...needed, ...['text_encoder_3', 'vae_encoder'].filter((name) => present.has(name))];
}

async function componentTypes(dir: string, component: string): Promise<OnnxTypes> {
	const path = join(dir, component, 'model.onnx');
	try {
		return await readOnnxTypes(path);
	} catch (error) {
		const why = error instanceof Error ? error.message : String(error);
		throw new ModelFolderError(`${path} is no usable ONNX file (${why}); download that file again.`, { cause: error });
	}
}

/** Every file below `dir` with forward slashes, sorted; hidden files and folders are none of the model's. */
async function listFiles(dir: string): Promise<FileEntry[]> {
	const entries = await readdir(dir, { recursive: true, withFileTypes: true });
	const files: FileEntry[] = [];
	for (const entry of entries) {
		const path = relative(dir, join(entry.parentPath, entry.name)).split(sep).join('/');
		if (entry.isDirectory() || path.split('/').some((part) => part.startsWith('.'))) continue;
		// stat, not the entry: download caches keep their files behind links
		const info = await stat(join(dir, path));
		if (info.isFile()) files.push({ path, bytes: info.size, modified: info.mtimeMs });
	}
	return files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

/** Folders beside the model's own: how it was trained, and the weights it was exported from. */
const OTHER_FOLDERS = new Set(['train', 'torch', 'docs']);

/** Whether a file is part of what the model computes: words about it, preview colours and training code may change freely. */
function isModelFile(path: string): boolean {
	const [top, ...rest] = path.split('/');
	if (rest.length === 0) return top === 'model_index.json';
	return !OTHER_FOLDERS.has(top ?? '');
}

async function hashFolder(dir: string, files: readonly FileEntry[], cache?: HashCache): Promise<string> {
	const whole = createHash('sha256');
	for (const file of files) {
		const key = `${join(dir, file.path)}\0${file.bytes}\0${file.modified}`;
		let sha256 = await cache?.get(key);
		if (sha256 === undefined) {
			sha256 = await hashFile(join(dir, file.path));
			await cache?.set(key, sha256);
		}
		whole.update(`${file.path}\0${sha256}\n`);
	}
	return whole.digest('hex');
}

async function hashFile(path: string): Promise<string> {
	const hash = createHash('sha256');
	for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
	return hash.digest('hex');
}

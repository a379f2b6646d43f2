/**
 * Which files of a repository an ONNX pipeline needs, and what to say of one that has none.
 * @module
 */
import { UserError } from '../lib/user-error.ts';
import type { HubFile, RepoSpec } from './hub.ts';

const TOP_FILES = /^(model_index\.json|limner\.json|licen[cs]e([-._].*)?|notice(\..*)?)$/i;
const FOLDERS = /^(scheduler|tokenizer(_[23])?|text_encoder(_[23])?|unet|transformer|vae_encoder|vae_decoder)$/;
const GRAPH_FOLDERS = /^(text_encoder(_[23])?|unet|transformer|vae_encoder|vae_decoder)$/;
/** Weights of other frameworks, which lie beside the ONNX files in many repositories. */
const OTHER_WEIGHTS = /\.(safetensors|bin|msgpack|xml|h5|ckpt|pt|pth|ot|gguf|index\.json)$/i;

/** Graphs that the engine loads; a half-precision autoencoder may have a full one for decodes that overflow. */
const isUsedGraph = (folder: string, name: string): boolean =>
	name === 'model.onnx' || (folder === 'vae_decoder' && name === 'model_fp32.onnx');

/** Files of a component folder: all but other frameworks' weights and other variants of the graph, whose data is named after them. */
const ofGraphFolder = (folder: string, names: readonly string[]): ((name: string) => boolean) => {
	const variants = names.filter((name) => name.endsWith('.onnx') && !isUsedGraph(folder, name));
	return (name) =>
		names.includes('model.onnx') &&
		!OTHER_WEIGHTS.test(name) &&
		!variants.some((variant) => name === variant || name.startsWith(`${variant}_`) || name.startsWith(`${variant}.`));
};

/** The files that the ONNX pipeline reads, in the order of the list. */
export const selectFiles = (files: readonly HubFile[]): HubFile[] =>
	files.filter((file) => {
		const parts = file.path.split('/');
		const [top = '', name = ''] = parts;
		if (parts.length === 1) return TOP_FILES.test(top);
		if (parts.length !== 2 || !FOLDERS.test(top) || name.startsWith('.')) return false;
		if (!GRAPH_FOLDERS.test(top)) return !OTHER_WEIGHTS.test(name);
		const siblings = files.filter((other) => other.path.startsWith(`${top}/`)).map((other) => other.path.slice(top.length + 1));
		return ofGraphFolder(top, siblings)(name);
	});

const shellWord = (text: string): string => (/^[\w./@+-]+$/.test(text) ? text : `'${text}'`);

/** The command that makes ONNX files of a diffusers repository. */
export const exportCommand = ({ repo, revision }: RepoSpec): string => {
	const folder = `${repo.split('/').at(-1) ?? repo}-onnx`;
	const at = revision === 'main' ? '' : ` --revision ${shellWord(revision)}`;
	return `optimum-cli export onnx --model ${shellWord(repo)}${at} ${folder} && limner models import ${folder}`;
};

const exportAdvice = (spec: RepoSpec): string =>
	`make them once with: pip install "optimum-onnx[onnxruntime]" diffusers && ${exportCommand(spec)}`;

/**
 * Why this repository cannot be pulled, in one sentence; nothing when it can.
 * @param files every file of the commit
 */
export const repoProblem = (files: readonly HubFile[], spec: RepoSpec): string | undefined => {
	const paths = new Set(files.map((file) => file.path));
	const has = (path: string): boolean => paths.has(path);
	const graphs = [...paths].filter((path) => path.endsWith('.onnx'));
	const lora = [...paths].find((path) => /lora/i.test(path) && /\.(safetensors|bin)$/i.test(path));
	if (graphs.length === 0 && !has('model_index.json')) {
		if (lora !== undefined || has('adapter_config.json'))
			return `${spec.repo} holds a LoRA (${lora ?? 'adapter_config.json'}), which cannot be added to an ONNX model; merge it into its base model with diffusers (load_lora_weights, fuse_lora, save_pretrained), export that and import it`;
		const single = [...paths].find((path) => /\.(safetensors|ckpt)$/i.test(path));
		if (single !== undefined)
			return `${spec.repo} holds a single checkpoint (${single}) and no ONNX files; convert it with diffusers (from_single_file, save_pretrained), then run optimum-cli export onnx on that folder and limner models import on the result`;
		return `${spec.repo} holds no image model: it has neither model_index.json nor ONNX files`;
	}
	const denoiser = ['unet', 'transformer'].find((name) => has(`${name}/model.onnx`));
	if (denoiser === undefined) {
		if (graphs.length > 0 && !has('model_index.json'))
			return `${spec.repo} has ONNX files (${graphs[0] ?? ''}), but not in the layout that optimum writes (model_index.json, unet/model.onnx, …); look for another export of the model, or ${exportAdvice(spec)}`;
		return `${spec.repo} has no ONNX files; ${exportAdvice(spec)}`;
	}
	const needed = [
		'model_index.json',
		'vae_decoder/model.onnx',
		`${denoiser}/config.json`,
		'vae_decoder/config.json',
		'scheduler/scheduler_config.json',
	];
	const missing = needed.filter((path) => !has(path));
	if (missing.length === 0) return undefined;
	return `${spec.repo} at ${spec.revision} lacks ${missing.join(' and ')}, without which its ONNX files cannot be run; look for another export of the model, or ${exportAdvice(spec)}`;
};

/** The files to download. @throws {UserError} when the repository has no usable ONNX model */
export const filesToPull = (files: readonly HubFile[], spec: RepoSpec): HubFile[] => {
	const problem = repoProblem(files, spec);
	if (problem !== undefined) throw new UserError(`${problem}.`);
	return selectFiles(files);
};

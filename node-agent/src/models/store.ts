/**
 * The models on this machine. A folder given with `--models` is a model itself or holds several; a broken one is reported
 * in a sentence and does not stop the others.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ModelName, NODE_LIMITS, REQUEST_LIMITS, SCHEDULER_NAMES, type ModelInfo } from '@limner/shared';
import type { EngineModel } from '../engines/types.ts';
import { realFs, writeAtomic } from '../lib/durable-fs.ts';
import { defaultStateDir } from '../lib/paths.ts';
import { messageOf } from '../lib/user-error.ts';
import { EMBEDDED_DIR } from './embedded.ts';
import { pulledFrom } from './records.ts';
import { inspectModelFolder, type HashCache, type ModelFolderInfo } from './layout.ts';

export interface StoredModel extends EngineModel {
	/** What the gateway is told. */
	info: ModelInfo;
}

export interface BrokenModel {
	dir: string;
	/** What is wrong and what to do. */
	sentence: string;
}

export interface ModelList {
	models: StoredModel[];
	broken: BrokenModel[];
}

const INDEX_FILE = 'model_index.json';

/** Where models are looked for when no folder is given; what was pulled for the user serves every node of theirs. */
export const defaultModelDirs = (stateDir: string): string[] => [
	...new Set([EMBEDDED_DIR, join(stateDir, 'models'), join(defaultStateDir(), 'models')]),
];

/** Where a state folder keeps the hashes of files. */
export const hashCacheFile = (stateDir: string): string => join(stateDir, 'model-hashes.json');

const keep = async (file: string, text: string): Promise<void> => {
	await realFs.makeFolder(dirname(file));
	await writeAtomic(realFs, file, text);
};

/** Hashes of files that were read before, kept in one JSON file; losing it costs time only. */
export const fileHashCache = (file: string): HashCache & { save: () => Promise<void> } => {
	let entries: Record<string, string> = {};
	try {
		const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'));
		if (typeof parsed === 'object' && parsed !== null) entries = { ...parsed };
	} catch {
		// None yet, or damaged: everything is hashed anew.
	}
	let dirty = false;
	return {
		get: (key) => (typeof entries[key] === 'string' ? entries[key] : undefined),
		set: (key, sha256) => {
			entries[key] = sha256;
			dirty = true;
		},
		save: async () => {
			if (dirty) await keep(file, JSON.stringify(entries)).catch(() => undefined);
			dirty = false;
		},
	};
};

const scopeText = (scope: ModelFolderInfo['scope']): string | undefined => {
	if (scope === undefined || typeof scope === 'string') return scope;
	return Object.entries(scope)
		.map(([group, words]) => `${group}: ${words.join(', ')}`)
		.join('. ');
};

const SCOPE_CHARS = 2000;

/** What a node tells the gateway about a model folder. */
export const toModelInfo = (folder: ModelFolderInfo): ModelInfo => {
	const scope = scopeText(folder.scope) ?? folder.description;
	return {
		name: folder.name,
		sha256: folder.sha256,
		family: folder.family,
		bytes: folder.bytes,
		operations: folder.operations,
		nativeWidth: folder.nativeWidth,
		nativeHeight: folder.nativeHeight,
		sizeMultiple: folder.sizeMultiple,
		defaults: { ...folder.defaults },
		...(scope === undefined ? {} : { scope: scope.slice(0, SCOPE_CHARS) }),
		...(folder.displayName === undefined ? {} : { displayName: folder.displayName }),
		...(folder.licence === undefined ? {} : { licence: folder.licence }),
	};
};

const cardProblem = (folder: ModelFolderInfo): string | undefined => {
	if (!ModelName.safeParse(folder.name).success) {
		return `its name "${folder.name}" must be of letters, digits and . _ - / @ + and at most ${REQUEST_LIMITS.modelNameChars} characters; rename the folder, or set "name" in limner.json`;
	}
	const { scheduler, steps } = folder.defaults;
	if (!(SCHEDULER_NAMES as string[]).includes(scheduler))
		return `limner.json names the scheduler "${scheduler}", which does not exist; choose one of ${SCHEDULER_NAMES.join(', ')}`;
	if (steps < REQUEST_LIMITS.stepsMin || steps > REQUEST_LIMITS.stepsMax)
		return `limner.json asks for ${steps} steps; choose 1 to ${REQUEST_LIMITS.stepsMax}`;
	return undefined;
};

/** Reads one model folder. */
export const readModel = async (
	dir: string,
	cache?: HashCache,
): Promise<{ ok: true; model: StoredModel } | { ok: false; broken: BrokenModel }> => {
	try {
		const folder = await inspectModelFolder(dir, cache === undefined ? {} : { hashCache: cache });
		const problem = cardProblem(folder);
		if (problem !== undefined) return { ok: false, broken: { dir, sentence: `The model in ${dir} cannot be used: ${problem}.` } };
		const source = pulledFrom(dirname(dir), basename(dir));
		const info = { ...toModelInfo(folder), ...(source === undefined ? {} : { source }) };
		return { ok: true, model: { name: folder.name, dir: folder.dir, sha256: folder.sha256, info, folder } };
	} catch (error) {
		const why = messageOf(error).replace(/\.$/, '');
		return { ok: false, broken: { dir, sentence: `The model in ${dir} cannot be used: ${why}.` } };
	}
};

/** Weights of other programs, in one file. */
const CHECKPOINT = /\.(safetensors|ckpt)$/i;

/** Model folders in the given folders, each of which is one or holds some. */
const findFolders = async (dirs: readonly string[]): Promise<string[]> => {
	const found: string[] = [];
	for (const dir of dirs) {
		if (existsSync(join(dir, INDEX_FILE))) {
			found.push(dir);
			continue;
		}
		const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
		const folders = entries.filter((entry) => !entry.name.startsWith('.')).map((entry) => join(dir, entry.name));
		const models = folders.filter((folder) => existsSync(join(folder, INDEX_FILE))).toSorted();
		// a lone checkpoint is read as a model, so that its owner is told why it does not run
		if (models.length === 0 && entries.some((entry) => entry.isFile() && CHECKPOINT.test(entry.name))) models.push(dir);
		found.push(...models);
	}
	return [...new Set(found)];
};

/** Lists the models in the given folders; of two with one name the first counts. */
export const listModels = async (dirs: readonly string[], cache?: HashCache): Promise<ModelList> => {
	const list: ModelList = { models: [], broken: [] };
	for (const dir of await findFolders(dirs)) {
		const result = await readModel(dir, cache);
		if (!result.ok) {
			list.broken.push(result.broken);
			continue;
		}
		const twin = list.models.find((model) => model.name === result.model.name);
		if (twin === undefined) list.models.push(result.model);
		else
			list.broken.push({
				dir,
				sentence: `The model in ${dir} is left out: ${twin.dir} has the same name "${twin.name}"; rename one of them.`,
			});
	}
	const surplus = list.models.splice(NODE_LIMITS.modelsMax);
	for (const model of surplus) {
		list.broken.push({
			dir: model.dir,
			sentence: `The model in ${model.dir} is left out: a node offers at most ${NODE_LIMITS.modelsMax} models.`,
		});
	}
	return list;
};

/** The model that a mock node pretends to have. */
export const mockModel = (name: string): StoredModel => {
	const sha256 = '0'.repeat(64);
	const info: ModelInfo = {
		name,
		sha256,
		family: 'mock',
		bytes: 0,
		operations: ['txt2img', 'img2img', 'inpaint'],
		nativeWidth: 128,
		nativeHeight: 128,
		sizeMultiple: 8,
		defaults: { steps: 20, guidance: 4, scheduler: 'ddim' },
	};
	return { name, dir: name, sha256, info };
};

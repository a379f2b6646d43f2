/**
 * `limner models pull`, `import`, `remove` and `catalog`.
 * @module
 */
import { existsSync, statfsSync } from 'node:fs';
import { totalmem } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { Command } from 'commander';
import { PULL_LIMITS } from '@limner/shared';
import { settings } from '../config/settings.ts';
import { gatherFacts } from '../doctor/facts.ts';
import { defaultStateDir, userPath } from '../lib/paths.ts';
import { UserError } from '../lib/user-error.ts';
import { CATALOG, recommend, type CatalogEntry } from '../models/catalog.ts';
import { createHubClient } from '../models/http.ts';
import { hubCacheDir } from '../models/hub-cache.ts';
import { hubEndpoint, hubToken, parseRepoSpec } from '../models/hub.ts';
import { importModel, removeModel } from '../models/manage.ts';
import { pullModel, type PullHooks } from '../models/pull.ts';
import { defaultModelDirs, type StoredModel } from '../models/store.ts';
import { whole } from './parse.ts';
import { createPullLine, inWords } from './pull-line.ts';

interface StoreFlags {
	models?: string;
	name?: string;
}
interface PullFlags extends StoreFlags {
	connections: number;
	copy?: boolean;
}

/** Folders that models are taken from and put into, in order. */
export const modelStores = (given: string | undefined): string[] => {
	if (given !== undefined) return [userPath(given)];
	const stateDir = userPath(settings().stateDir ?? defaultStateDir());
	// The folder that ships with Limner is part of its source.
	return settings().models?.map(userPath) ?? defaultModelDirs(stateDir).slice(1);
};

/** The folder that a new model goes into. @throws {UserError} when it is a model itself */
export const storeFor = (given: string | undefined): string => {
	const [store = ''] = modelStores(given).filter((dir) => given !== undefined || !existsSync(join(dir, 'model_index.json')));
	if (store === '' || existsSync(join(store, 'model_index.json')))
		throw new UserError(`${store || 'The folder of models'} is a model itself; give a folder that holds models with --models.`);
	return store;
};

const announce = (model: StoredModel, store: string, given: string | undefined): void => {
	const { info } = model;
	const flag = given === undefined ? '' : ` --models ${given}`;
	console.log(`${model.name}  ${info.family}, ${info.operations.join(', ')} at ${info.nativeWidth}×${info.nativeHeight}, in ${store}`);
	console.error(
		`limner: try it with: limner generate --model ${model.name}${flag} --prompt "a lighthouse at dusk"; running nodes offer it within half a minute`,
	);
};

const hooksOf = (line: ReturnType<typeof createPullLine>): PullHooks => ({
	onPlan: (plan) => {
		const here = plan.here > 0 ? `, ${inWords(plan.here)} of it here already` : '';
		line.note(
			`limner: commit ${plan.commit.slice(0, 12)}: ${plan.files} files, ${inWords(plan.bytes)}${here}; licence: ${plan.licence ?? 'not stated'}`,
		);
	},
	onProgress: (bytes, total) => line.update(bytes, total),
	onNote: (sentence) => line.note(`limner: note: ${sentence}`),
});

const pull = async (text: string, flags: PullFlags): Promise<void> => {
	const spec = parseRepoSpec(text);
	const store = storeFor(flags.models);
	const client = createHubClient(hubEndpoint(process.env), hubToken(process.env), process.env);
	const line = createPullLine();
	try {
		const model = await pullModel({
			client,
			spec,
			hub: hubCacheDir(process.env),
			store,
			connections: flags.connections,
			copies: flags.copy === true,
			hooks: hooksOf(line),
			...(flags.name === undefined ? {} : { name: flags.name }),
		});
		line.done();
		announce(model, store, flags.models);
	} finally {
		line.done();
		client.close();
	}
};

const importFolder = async (folder: string, flags: StoreFlags & { copy?: boolean }): Promise<void> => {
	const store = storeFor(flags.models);
	const options = { copy: flags.copy === true, ...(flags.name === undefined ? {} : { name: flags.name }) };
	announce(await importModel(userPath(folder), store, options), store, flags.models);
};

const remove = async (name: string, flags: { models?: string; keepFiles?: boolean }): Promise<void> => {
	const freed = await removeModel(name, modelStores(flags.models), flags.keepFiles === true);
	console.log(`${name}  removed${freed > 0 ? `, ${inWords(freed)} freed` : ''}`);
};

/** Memory of a GPU that Limner can use: it must have a provider whose libraries are all there. */
const gpuBytes = async (): Promise<number | undefined> => {
	const { gpus, cudaProvider, missingLibraries } = await gatherFacts();
	return cudaProvider && missingLibraries.length === 0 ? gpus[0]?.memoryBytes : undefined;
};

const nearest = (path: string): string => (existsSync(path) ? path : nearest(dirname(path)));

/** What brings a model here; nothing for the one that ships with Limner. */
const commandFor = ({ repo, precision, export: exported }: CatalogEntry): string[] => {
	if (repo === undefined) return [];
	if (exported !== true) return [`  limner models pull ${repo}`];
	const folder = basename(repo);
	const half = precision === 'fp16' ? ' --dtype fp16 --device cuda' : '';
	return [`  optimum-cli export onnx --model ${repo}${half} ${folder} && limner models import ${folder}`];
};

const sizeOf = ({ bytes, export: exported }: CatalogEntry): string => {
	if (bytes === 0) return 'no download';
	return `${exported === true ? 'export' : 'download'} ≈ ${inWords(bytes)}`;
};

const catalogLine = (entry: CatalogEntry): string =>
	[
		`${entry.repo ?? entry.name}${entry.repo === undefined ? '' : `  (${entry.name})`}`,
		`  ${entry.summary}; ${entry.family}, ${entry.native}, ${entry.precision}${entry.cudaOnly === true ? ', CUDA only' : ''}`,
		`  ${sizeOf(entry)}, memory ≈ ${inWords(entry.memoryBytes)}, licence ${entry.licence}, ${entry.gated ? 'gated' : 'not gated'}, ${entry.tested ? 'tested with Limner' : 'not tested with Limner'}`,
		...commandFor(entry),
	].join('\n');

const catalog = async (flags: { json?: boolean }): Promise<void> => {
	const { bavail, bsize } = statfsSync(nearest(hubCacheDir(process.env)));
	const gpu = await gpuBytes();
	const machine = { ramBytes: totalmem(), diskFreeBytes: bavail * bsize, ...(gpu === undefined ? {} : { gpuBytes: gpu }) };
	const { entry, reason } = recommend(machine);
	if (flags.json === true)
		return console.log(JSON.stringify({ models: CATALOG, machine, recommended: entry.repo ?? entry.name, reason }, null, '\t'));
	for (const item of CATALOG) console.log(catalogLine(item));
	console.log(`\nFor you: ${entry.repo ?? entry.name}: ${reason}.`);
	if (entry.repo !== undefined) console.log(`limner models pull ${entry.repo}`);
};

const STORE_FLAG = ['--models <folder>', 'the folder of models that it goes into'] as const;

/** Adds the commands to `limner models`. */
export const registerModelSources = (models: Command): void => {
	models
		.command('pull')
		.description('download a model from Hugging Face (HF_TOKEN, HF_ENDPOINT and HTTPS_PROXY apply)')
		.argument('<repo[@revision]>', 'like amd/stable-diffusion-1.5_io32_amdgpu')
		.option(...STORE_FLAG)
		.option('--name <name>', "what to call it here (default: the repository's name)")
		.option('--connections <n>', 'connections at a time', whole(1, PULL_LIMITS.connectionsMax), PULL_LIMITS.connectionsDefault)
		.option('--copy', 'copy files instead of linking to the cache')
		.action(pull);
	models
		.command('import')
		.description('use a folder that holds a model in ONNX form')
		.argument('<folder>', 'with model_index.json')
		.option(...STORE_FLAG)
		.option('--name <name>', "what to call it here (default: the folder's name)")
		.option('--copy', 'copy it, so that the folder may go')
		.action(importFolder);
	models
		.command('remove')
		.description('take away a model that was pulled or imported')
		.argument('<name>', 'as `limner models list` shows it')
		.option('--models <folder>', 'the folder of models that it is in')
		.option('--keep-files', 'leave the files in the Hugging Face cache')
		.action(remove);
	models
		.command('catalog')
		.description('models worth knowing, and one that suits this machine')
		.option('--json', 'as JSON')
		.action(catalog);
};

/**
 * `limner models`: what lies on this machine, and whether it works.
 * @module
 */
import { basename, dirname } from 'node:path';
import type { Command } from 'commander';
import { settings } from '../config/settings.ts';
import { coreCount } from '../engines/devices.ts';
import { planDevice } from '../engines/plan.ts';
import { defaultStateDir, userPath } from '../lib/paths.ts';
import { UserError } from '../lib/user-error.ts';
import { tryModel } from '../local/trial.ts';
import { defaultModelDirs, fileHashCache, hashCacheFile, listModels, type ModelList, type StoredModel } from '../models/store.ts';
import { damagedFiles, findRecord } from '../models/manage.ts';
import { shortTime } from '../lib/words.ts';
import { registerOptimize } from './models-optimize.ts';
import { registerModelSources } from './models-pull.ts';
import { collect, deviceList } from './parse.ts';

interface ModelsFlags {
	models?: string[];
	device?: string;
	json?: boolean;
}

const load = async (flags: ModelsFlags, useCache: boolean): Promise<{ list: ModelList; dirs: string[] }> => {
	const stateDir = userPath(settings().stateDir ?? defaultStateDir());
	const dirs = flags.models?.map(userPath) ?? settings().models?.map(userPath) ?? defaultModelDirs(stateDir);
	const cache = fileHashCache(hashCacheFile(stateDir));
	return { list: await listModels(dirs, useCache ? cache : undefined), dirs };
};

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 1024 ** 2)} MiB`;

/** Where a model came from, for those that were pulled or imported. */
const sourceOf = (dir: string): string => {
	const record = findRecord([dirname(dir)], basename(dir))?.record;
	if (record === undefined) return '';
	return record.kind === 'pull' ? `  from ${record.repo}@${record.commit.slice(0, 12)}` : `  imported from ${record.from}`;
};

const describe = ({ info, dir }: StoredModel): string =>
	[
		`${info.name}  (${info.displayName ?? info.family}, ${mebibytes(info.bytes)})`,
		`  ${info.operations.join(', ')} at ${info.nativeWidth}×${info.nativeHeight}, ${info.defaults.steps} steps, ${info.defaults.scheduler}`,
		`  sha256 ${info.sha256.slice(0, 16)}…  ${dir}${sourceOf(dir)}`,
	].join('\n');

const list = async (flags: ModelsFlags): Promise<void> => {
	const { list: found, dirs } = await load(flags, true);
	if (flags.json === true)
		console.log(JSON.stringify({ models: found.models.map(({ info, dir }) => ({ ...info, dir })), broken: found.broken }, null, '\t'));
	else for (const model of found.models) console.log(describe(model));
	for (const broken of found.broken) console.error(`limner: ${broken.sentence}`);
	if (found.models.length === 0)
		throw new UserError(`There is no usable model in ${dirs.join(' or ')}; give a folder of models with --models.`);
};

/** What of a pulled model is not as it was downloaded. */
const damageOf = async (dir: string): Promise<string[]> => {
	const found = findRecord([dirname(dir)], basename(dir));
	return found?.record.kind === 'pull' ? damagedFiles(found.store, found.record) : [];
};

const verify = async (names: string[], flags: ModelsFlags): Promise<void> => {
	const { list: found } = await load(flags, false);
	const plan = await planDevice(flags.device ?? settings().device);
	const wanted = names.length === 0 ? found.models : found.models.filter((model) => names.includes(model.name));
	const missing = names.find((name) => !found.models.some((model) => model.name === name));
	let bad = names.length === 0 ? found.broken.length : 0;
	for (const broken of found.broken) console.error(`limner: ${broken.sentence}`);
	for (const model of wanted) {
		const damaged = await damageOf(model.dir);
		for (const sentence of damaged) console.error(`limner: ${sentence}`);
		if (damaged.length > 0) {
			bad++;
			console.log(`${model.name}  does not work: ${damaged.length} of its files are not what the hub has`);
			continue;
		}
		const options = { device: plan.device, executionProviders: plan.executionProviders, intraOpNumThreads: coreCount() };
		const trial = await tryModel({ kind: 'onnx', options }, model, plan.env);
		if (trial.ok) console.log(`${model.name}  works: loaded in ${shortTime(trial.loadMs)}, sha256 ${model.sha256}`);
		else {
			bad++;
			console.log(`${model.name}  does not work: ${trial.sentence}`);
		}
	}
	if (missing !== undefined) throw new UserError(`There is no usable model "${missing}"; \`limner models list\` shows what there is.`);
	if (bad > 0) throw new UserError(`${bad} of the models cannot be used; see above.`);
};

export const registerModels = (program: Command): void => {
	const models = program.command('models').description('models on this machine');
	models
		.command('list')
		.description('show them')
		.option('--models <folder>', 'a model, or a folder of models; may be repeated', collect)
		.option('--json', 'as JSON')
		.action(list);
	models
		.command('verify')
		.description('hash every file, load each model and make one step with it')
		.argument('[name...]', 'models to verify (default: all)')
		.option('--models <folder>', 'a model, or a folder of models; may be repeated', collect)
		.option(
			'--device <kind>',
			'what to compute on: auto, or one or more of cuda, tensorrt, coreml, webgpu, dml, cpu, like cuda,cpu',
			deviceList,
		)
		.action(verify);
	registerModelSources(models);
	registerOptimize(models);
};

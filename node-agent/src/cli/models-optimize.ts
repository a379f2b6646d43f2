/**
 * `limner models optimize`: a faster or smaller variant of a model, measured against the original.
 * @module
 */
import { join } from 'node:path';
import type { Command } from 'commander';
import { REQUEST_LIMITS as L } from '@limner/shared';
import { settings } from '../config/settings.ts';
import { coreCount, threadsPerSlot } from '../engines/devices.ts';
import { planDevice } from '../engines/plan.ts';
import { EngineError } from '../engines/types.ts';
import { defaultStateDir, userPath } from '../lib/paths.ts';
import { EXIT, UserError } from '../lib/user-error.ts';
import { shortTime } from '../lib/words.ts';
import { LocalModels, restartWith } from '../local/generate.ts';
import { removeModel } from '../models/manage.ts';
import { compareModels, type Comparison } from '../models/optimize/measure.ts';
import { makeVariant } from '../models/optimize/optimize.ts';
import { findPython, type ComponentResult } from '../models/optimize/python.ts';
import { defaultModelDirs, hashCacheFile } from '../models/store.ts';
import { storeFor } from './models-pull.ts';
import { deviceList, whole } from './parse.ts';
import { inWords } from './pull-line.ts';

interface OptimizeFlags {
	fuse?: boolean;
	fp16?: boolean;
	int8?: boolean;
	name?: string;
	models?: string;
	python?: string;
	device?: string;
	steps: number;
	json?: boolean;
}

/** PSNR above which a difference is hardly seen, and below which the picture is another one (usual for 8-bit pictures). */
const GOOD_DB = 30;
const POOR_DB = 20;

const componentLine = ({ component, before, after, fused }: ComponentResult): string => {
	const operators = Object.entries(fused).map(([name, count]) => `${count} ${name}`);
	return `${component.padEnd(15)} ${inWords(before)} → ${inWords(after)}${operators.length === 0 ? '' : `; ${operators.join(', ')}`}`;
};

const verdict = (psnrDb: number): string => {
	if (psnrDb === Number.POSITIVE_INFINITY) return 'the same pictures';
	if (psnrDb >= GOOD_DB) return 'hardly to be seen';
	return psnrDb >= POOR_DB ? 'to be seen: look at pictures before you offer it' : 'other pictures: do not offer it without looking';
};

const report = (device: string, steps: number, result: Comparison): string =>
	[
		`On ${device}, ${steps} steps, median of 3 pictures made in turn:`,
		`  original  ${shortTime(result.original.pictureMs)} a picture, loaded in ${shortTime(result.original.loadMs)}`,
		`  variant   ${shortTime(result.variant.pictureMs)} a picture, loaded in ${shortTime(result.variant.loadMs)}: ${result.speedup.toFixed(2)} times as fast`,
		`  pictures  differ by ${result.meanDifference.toFixed(2)} of 255 on average, ${result.maxDifference} at most, PSNR ${result.psnrDb.toFixed(1)} dB: ${verdict(result.psnrDb)}`,
	].join('\n');

const optimize = async (name: string, flags: OptimizeFlags): Promise<void> => {
	const wanted = { fuse: flags.fuse === true, fp16: flags.fp16 === true, int8: flags.int8 === true };
	if (!Object.values(wanted).includes(true))
		throw new UserError('Say what to do: --fuse, --fp16 or --int8, or several of them.', { exitCode: EXIT.usage });
	const stateDir = userPath(settings().stateDir ?? defaultStateDir());
	const dirs = flags.models === undefined ? (settings().models?.map(userPath) ?? defaultModelDirs(stateDir)) : [userPath(flags.models)];
	const original = await new LocalModels(dirs, hashCacheFile(stateDir)).find(name, userPath);
	const plan = await planDevice(flags.device ?? settings().device);
	restartWith(plan.env);
	const python = await findPython(flags.python ?? process.env['LIMNER_PYTHON']);
	const store = storeFor(flags.models);
	const { versions } = python;
	console.error(`limner: ${python.command} (Python ${versions.python}, onnxruntime ${versions.onnxruntime}, onnx ${versions.onnx})`);
	const components: ComponentResult[] = [];
	const variant = await makeVariant({
		python,
		original,
		wanted,
		store,
		device: plan.device.kind,
		...(flags.name === undefined ? {} : { name: flags.name }),
		onComponent: (result) => {
			components.push(result);
			if (flags.json !== true) console.log(componentLine(result));
		},
	});
	const options = {
		device: plan.device,
		executionProviders: plan.executionProviders,
		intraOpNumThreads: threadsPerSlot(plan.device.kind, coreCount(), 1),
	};
	try {
		const result = await compareModels({ kind: 'onnx', options }, original, variant, flags.steps);
		if (flags.json === true)
			return console.log(JSON.stringify({ name: variant.name, dir: variant.dir, device: plan.device, components, ...result }, null, '\t'));
		console.log(report(plan.device.name, flags.steps, result));
		console.log(
			`${variant.name} is in ${join(store, variant.name)}; the original is as it was. Take it away with: limner models remove ${variant.name}`,
		);
	} catch (error) {
		if (!(error instanceof EngineError)) throw error;
		await removeModel(variant.name, [store], false);
		throw new UserError(`The variant does not run here and was removed: ${error.message}`, { cause: error });
	}
};

/** Adds the command to `limner models`. */
export const registerOptimize = (models: Command): void => {
	models
		.command('optimize')
		.description('make a faster or smaller variant of a model, and measure it against the original (needs Python)')
		.argument('<model>', 'as `limner models list` shows it, or a folder')
		.option('--fuse', 'join operators, attention above all (flash attention on CUDA)')
		.option('--fp16', 'half precision: for GPUs')
		.option('--int8', 'weights of matrix products as 8-bit numbers: for CPUs')
		.option('--name <name>', 'what to call the variant')
		.option('--models <folder>', 'the folder of models that has it and gets the variant')
		.option('--python <command>', 'Python with onnx and onnxruntime (default: LIMNER_PYTHON, the active environment, python3)')
		.option('--device <kind>', 'what it will run on, and is measured on', deviceList)
		.option('--steps <n>', 'steps of the pictures that are compared', whole(L.stepsMin, L.stepsMax), 8)
		.option('--json', 'as JSON')
		.action(optimize);
};

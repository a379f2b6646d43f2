/**
 * `limner generate`: pictures on this machine, without a gateway.
 * @module
 */
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { createProgressLine, type ProgressLine } from '../client/index.ts';
import { settings } from '../config/settings.ts';
import type { EngineInputs } from '../engines/types.ts';
import { defaultStateDir, userPath } from '../lib/paths.ts';
import { EXIT, UserError } from '../lib/user-error.ts';
import { fillEntry, fillRequest, LocalEngine, LocalModels, type LocalPicture, type LocalProgress } from '../local/generate.ts';
import { readJobsFile, type JobEntry } from '../local/jobs-file.ts';
import { defaultModelDirs, hashCacheFile, type StoredModel } from '../models/store.ts';
import type { OutputOptions } from '../png/encode.ts';
import { checkOutput, numberedFile, timesLine, writeOutput } from './output.ts';
import { collect, deviceList } from './parse.ts';
import { addRequestFlags, formatOf, taskOf, toJobRequest, type RequestFlags } from './request-flags.ts';

interface GenerateFlags extends RequestFlags {
	out: string;
	models?: string[];
	device?: string;
	jobs?: string;
	outDir?: string;
	saveLatents?: boolean;
}

/** A log of many requests gets one line for each, not its steps. */
const SILENT = { write: (): boolean => true };
const RANDOM_SEED_END = 2 ** 32;

const localModels = (flags: GenerateFlags): LocalModels => {
	const stateDir = userPath(settings().stateDir ?? defaultStateDir());
	const dirs = flags.models?.map(userPath) ?? settings().models?.map(userPath) ?? defaultModelDirs(stateDir);
	return new LocalModels(dirs, hashCacheFile(stateDir));
};

/** Draws an engine's progress like that of a job. */
const onLine = (line: ProgressLine, index: number): LocalProgress => {
	let phase = '';
	/** The first step that was told, and when: rates count from there, for how long that one took nobody told. */
	let first: { step: number; at: number } | undefined;
	const emit = (data: object): void => line.event({ event: 'progress', data: { index, phase, ...data } });
	return {
		onPhase: (next) => {
			phase = next;
			emit({});
		},
		onStep: (step, steps) => {
			phase = 'denoising';
			first ??= { step, at: performance.now() };
			const elapsed = performance.now() - first.at;
			emit({ step, steps, ...(step > first.step ? { itPerS: ((step - first.step) * 1000) / elapsed } : {}) });
		},
	};
};

const inputsOf = (flags: RequestFlags): EngineInputs => {
	const inputs: EngineInputs = {};
	for (const [role, file] of [
		['init', flags.init],
		['mask', flags.mask],
	] as const) {
		if (file === undefined) continue;
		const path = userPath(file);
		if (!existsSync(path)) throw new UserError(`There is no file ${path}; check the path after --${role}.`);
		inputs[role] = path;
	}
	return inputs;
};

const outputOf = (flags: GenerateFlags, out: string): OutputOptions | undefined => {
	const format = formatOf(flags, out);
	const { outputQuality: quality } = flags;
	return format === undefined ? undefined : { format, ...(quality === undefined ? {} : { quality }) };
};

const single = async (flags: GenerateFlags): Promise<void> => {
	const body = toJobRequest(flags);
	const inputs = inputsOf(flags);
	const out = userPath(flags.out);
	for (let index = 0; index < (body.n ?? 1); index++) checkOutput(numberedFile(out, index, body.n ?? 1));
	const model = await localModels(flags).find(flags.model, userPath);
	const n = body.n ?? 1;
	const seed = body.seed ?? randomInt(RANDOM_SEED_END);
	const engine = await LocalEngine.open(flags.device);
	const line = createProgressLine({ n });
	const requests = Array.from({ length: n }, (_, i) => fillRequest(body, taskOf(flags), seed, i, model.info));
	let index = 0;
	for await (const picture of engine.make(model, requests, inputs, (i) => onLine(line, i), outputOf(flags, out))) {
		line.event({ event: 'image', data: { index, phase: 'writing' } });
		for (const warning of index === 0 ? picture.warnings : []) line.note(`limner: note: ${warning}`);
		const file = numberedFile(out, index++, n);
		writeOutput(file, picture.png);
		if (flags.saveLatents === true) saveLatents(file.replace(/\.[^.]*$/, '.latents.f32'), [picture]);
		line.done();
		const { width, height, seed: own } = picture.request;
		console.log(`${file}  ${width}×${height}, seed ${own}`);
		console.error(`limner: ${timesLine(picture.timings)}`);
	}
	await engine.close();
};

/** Little-endian float32, pictures one after the other. */
const saveLatents = (file: string, pictures: readonly LocalPicture[]): void => {
	const arrays = pictures.flatMap((picture) => (picture.latents === undefined ? [] : [picture.latents.values]));
	writeOutput(file, Buffer.concat(arrays.map((values) => Buffer.from(values.buffer, values.byteOffset, values.byteLength))));
};

const runEntry = async (engine: LocalEngine, model: StoredModel, entry: JobEntry, line: ProgressLine): Promise<LocalPicture[]> => {
	const inputs: EngineInputs = {
		...(entry.initImage === undefined ? {} : { init: entry.initImage }),
		...(entry.maskImage === undefined ? {} : { mask: entry.maskImage }),
	};
	const requests = Array.from({ length: entry.n ?? 1 }, (_, index) => fillEntry(entry, index, model.info));
	const pictures: LocalPicture[] = [];
	for await (const picture of engine.make(model, requests, inputs, (index) => onLine(line, index))) pictures.push(picture);
	return pictures;
};

/** @param stem path of the entry's files without their endings */
const writeEntry = (stem: string, pictures: readonly LocalPicture[], withLatents: boolean): void => {
	for (const [index, picture] of pictures.entries()) writeOutput(numberedFile(`${stem}.png`, index, pictures.length), picture.png);
	if (withLatents) saveLatents(`${stem}.latents.f32`, pictures);
};

const batch = async (flags: GenerateFlags & { jobs: string }): Promise<void> => {
	const entries = readJobsFile(userPath(flags.jobs));
	const outDir = userPath(flags.outDir ?? '.');
	checkOutput(join(outDir, `${entries[0]?.id ?? 'limner'}.png`));
	const models = localModels(flags);
	const engine = await LocalEngine.open(flags.device);
	const began = performance.now();
	let failed = 0;
	for (const [position, entry] of entries.entries()) {
		const n = entry.n ?? 1;
		const line = createProgressLine({ n, ...(process.stderr.isTTY ? {} : { stream: SILENT }) });
		try {
			const model = await models.find(entry.model ?? flags.model, userPath);
			const pictures = await runEntry(engine, model, entry, line);
			line.done();
			writeEntry(join(outDir, entry.id), pictures, flags.saveLatents === true);
			console.log(`${position + 1}/${entries.length}  ${entry.id}`);
		} catch (error) {
			if (!(error instanceof UserError)) throw error;
			line.done();
			failed++;
			console.error(`limner: ${entry.id}: ${error.message}`);
		}
	}
	await engine.close();
	console.error(
		`limner: ${entries.length - failed} of ${entries.length} requests in ${((performance.now() - began) / 1000).toFixed(1)} s, in ${outDir}`,
	);
	if (failed > 0) throw new UserError(`${failed} of ${entries.length} requests failed; see above.`);
};

const generate = async (flags: GenerateFlags): Promise<void> => {
	const { jobs } = flags;
	if (jobs === undefined) return single(flags);
	if (flags.prompt !== undefined) throw new UserError('Give either --prompt or --jobs, not both.', { exitCode: EXIT.usage });
	return batch({ ...flags, jobs });
};

export const registerGenerate = (program: Command): void => {
	addRequestFlags(program.command('generate').description('make pictures on this machine, without a gateway'))
		.option('--out <file>', 'where to write the picture', 'limner.png')
		.option('--models <folder>', 'a model, or a folder of models; may be repeated', collect)
		.option(
			'--device <kind>',
			'what to compute on: auto, or one or more of cuda, tensorrt, coreml, webgpu, dml, cpu, like cuda,cpu',
			deviceList,
		)
		.option('--jobs <file>', 'JSON array of requests with the field names of the API')
		.option('--out-dir <folder>', 'with --jobs: where to write <id>.png')
		.option('--save-latents', 'write the final latents as well, as little-endian float32')
		.action(generate);
};

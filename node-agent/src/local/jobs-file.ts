/**
 * Reads a file of requests for `limner generate --jobs`: an array of objects with the field names of the API.
 * @module
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { JobRequest, MaskFill, Operation, PromptMode, REQUEST_LIMITS as L, resolveScheduler } from '@limner/shared';
import { z } from 'zod';
import { errorCode, messageOf, UserError } from '../lib/user-error.ts';

/** One request; unknown keys are information for others. */
export const JobEntry = z.object({
	id: z.string().regex(/^[\w][\w.\- ]*$/, 'must be letters, digits and . _ - only, because it names the files'),
	model: z.string().optional(),
	task: Operation.optional(),
	prompt: z.string().max(L.promptChars),
	negativePrompt: z.string().max(L.promptChars).nullish(),
	seed: z.int().min(L.seedMin).max(L.seedMax).optional(),
	steps: z.int().min(L.stepsMin).max(L.stepsMax).optional(),
	guidance: z.number().min(L.guidanceMin).max(L.guidanceMax).optional(),
	width: z.int().min(8).max(L.sizeMaxPx).optional(),
	height: z.int().min(8).max(L.sizeMaxPx).optional(),
	scheduler: z
		.string()
		.refine((name) => resolveScheduler(name) !== undefined, 'is not a scheduler that Limner knows')
		.transform((name) => resolveScheduler(name) ?? name)
		.optional(),
	n: z.int().min(L.nMin).max(L.nMax).optional(),
	strength: z.number().min(L.strengthMin).max(L.strengthMax).optional(),
	initImage: z.string().optional(),
	maskImage: z.string().optional(),
	eta: z.number().min(L.etaMin).max(L.etaMax).optional(),
	guidanceRescale: z.number().min(L.guidanceRescaleMin).max(L.guidanceRescaleMax).optional(),
	originalSize: JobRequest.shape.originalSize,
	cropTopLeft: JobRequest.shape.cropTopLeft,
	targetSize: JobRequest.shape.targetSize,
	useT5: z.boolean().optional(),
	pasteBack: z.boolean().default(false),
	maskCropPadding: z.int().min(L.maskPxMin).max(L.maskPxMax).optional(),
	maskFeather: z.int().min(L.maskPxMin).max(L.maskPxMax).optional(),
	maskInvert: z.boolean().optional(),
	maskFill: MaskFill.optional(),
	promptMode: PromptMode.optional(),
});
export type JobEntry = z.infer<typeof JobEntry>;

/** Python writes NaN and Infinity into JSON; outside of texts they mean nothing here. */
export const parseLooseJson = (text: string): unknown => {
	try {
		return JSON.parse(text);
	} catch {
		return JSON.parse(text.replaceAll(/"(?:\\.|[^"\\])*"|-?\bInfinity\b|\bNaN\b/g, (match) => (match.startsWith('"') ? match : 'null')));
	}
};

const readArray = (file: string): unknown[] => {
	let text: string;
	try {
		text = readFileSync(file, 'utf8');
	} catch (error) {
		throw new UserError(`${file} cannot be read (${errorCode(error) ?? messageOf(error)}); check the path after --jobs.`, { cause: error });
	}
	let value: unknown;
	try {
		value = parseLooseJson(text);
	} catch (error) {
		throw new UserError(`${file} is not valid JSON (${messageOf(error)}).`, { cause: error });
	}
	if (!Array.isArray(value)) throw new UserError(`${file} must hold a JSON array of requests.`);
	return value;
};

/**
 * Reads and checks all requests; pictures are looked for beside the file.
 * @throws {UserError} that names the entry and the field
 */
export const readJobsFile = (file: string): JobEntry[] => {
	const folder = dirname(file);
	const ids = new Set<string>();
	return readArray(file).map((entry, position) => {
		const parsed = JobEntry.safeParse(entry);
		if (!parsed.success) {
			const [issue] = parsed.error.issues;
			throw new UserError(`Request ${position} of ${file}: ${issue?.path.join('.') ?? ''} ${issue?.message ?? 'is wrong'}.`);
		}
		const { data } = parsed;
		if (ids.has(data.id)) throw new UserError(`${file} has two requests with the id "${data.id}"; each names its own files.`);
		ids.add(data.id);
		return {
			...data,
			...(data.initImage === undefined ? {} : { initImage: resolve(folder, data.initImage) }),
			...(data.maskImage === undefined ? {} : { maskImage: resolve(folder, data.maskImage) }),
		};
	});
};

/**
 * What a picture says about itself: the A1111 `parameters` text, which most tools read, and our own `limner` JSON, which
 * is complete. Neither holds times or ids, so that one request makes the same bytes every time.
 * @module
 */
import { LIMNER_VERSION, resolveScheduler, SCHEDULERS } from '@limner/shared';
import { z } from 'zod';
import { readTexts } from './chunks.ts';

export const PARAMETERS_KEYWORD = 'parameters';
export const LIMNER_KEYWORD = 'limner';

/** Request as the engine got it; input pictures are named by the hash of their bytes. */
export const PictureRequest = z.looseObject({
	task: z.enum(['txt2img', 'img2img', 'inpaint']),
	prompt: z.string(),
	negativePrompt: z.string().nullable(),
	width: z.int(),
	height: z.int(),
	steps: z.int(),
	guidance: z.number(),
	scheduler: z.string().optional(),
	seed: z.int(),
	strength: z.number().optional(),
	initImageSha256: z.string().optional(),
	maskImageSha256: z.string().optional(),
});
export type PictureRequest = z.infer<typeof PictureRequest>;

export const PictureRecord = z.looseObject({
	version: z.string(),
	seed: z.int(),
	request: PictureRequest,
	model: z.object({ name: z.string(), sha256: z.string() }),
	engine: z.string(),
	device: z.string(),
});
export type PictureRecord = z.infer<typeof PictureRecord>;

const samplerLabel = (name: string | undefined): string => {
	const known = name === undefined ? undefined : resolveScheduler(name);
	return known === undefined ? (name ?? 'Automatic') : SCHEDULERS[known].label;
};

/** A prompt of several lines stays readable, but must not look like the last line. */
export const infotext = (record: PictureRecord): string => {
	const { request, model } = record;
	const fields: [string, string | number | undefined][] = [
		['Steps', request.steps],
		['Sampler', samplerLabel(request.scheduler)],
		['CFG scale', request.guidance],
		['Seed', request.seed],
		['Size', `${request.width}x${request.height}`],
		['Model hash', model.sha256.slice(0, 10)],
		['Model', model.name],
		['Denoising strength', request.task === 'txt2img' ? undefined : request.strength],
		['Version', `limner ${record.version}`],
	];
	const lines = [request.prompt];
	if (request.negativePrompt !== null && request.negativePrompt !== '') lines.push(`Negative prompt: ${request.negativePrompt}`);
	lines.push(
		fields
			.filter(([, value]) => value !== undefined)
			.map(([name, value]) => `${name}: ${quoted(String(value))}`)
			.join(', '),
	);
	return lines.join('\n');
};

/** A1111 quotes values that hold separators, as JSON strings. */
const quoted = (value: string): string => (/[,\n:"]/.test(value) ? JSON.stringify(value) : value);

const unquoted = (value: string): string => {
	if (!value.startsWith('"')) return value;
	try {
		return String(JSON.parse(value));
	} catch {
		return value;
	}
};

export interface Infotext {
	prompt: string;
	negativePrompt: string | null;
	fields: Record<string, string>;
}

/** Reads an A1111 text, ours or another program's. */
export const parseInfotext = (text: string): Infotext => {
	const lines = text.split('\n');
	const last = lines.at(-1) ?? '';
	const hasFields = /^Steps: \d+/.test(last);
	const fields: Record<string, string> = {};
	if (hasFields) {
		for (const match of last.matchAll(/\s*([\w][\w \-/]*):\s*("(?:\\.|[^"\\])+"|[^,]*)(?:,|$)/g))
			fields[(match[1] ?? '').trim()] = unquoted(match[2] ?? '');
	}
	const words = hasFields ? lines.slice(0, -1) : lines;
	const negative = words.findIndex((line) => line.startsWith('Negative prompt: '));
	if (negative < 0) return { prompt: words.join('\n'), negativePrompt: null, fields };
	return {
		prompt: words.slice(0, negative).join('\n'),
		negativePrompt: words.slice(negative).join('\n').slice('Negative prompt: '.length),
		fields,
	};
};

/** The two texts for a picture. */
export const recordTexts = (record: PictureRecord): (readonly [string, string])[] => [
	[PARAMETERS_KEYWORD, infotext(record)],
	[LIMNER_KEYWORD, JSON.stringify(record)],
];

export interface RecordParts {
	request: PictureRequest;
	model: PictureRecord['model'];
	engine: string;
	device: string;
}

export const newRecord = (parts: RecordParts): PictureRecord => ({ version: LIMNER_VERSION, seed: parts.request.seed, ...parts });

/** What a PNG says about itself. */
export const readRecord = (png: Uint8Array): { record?: PictureRecord; infotext?: Infotext } => {
	const texts = readTexts(png);
	const parameters = texts.get(PARAMETERS_KEYWORD);
	const own = texts.get(LIMNER_KEYWORD);
	let record: PictureRecord | undefined;
	try {
		record = own === undefined ? undefined : PictureRecord.safeParse(JSON.parse(own)).data;
	} catch {
		record = undefined;
	}
	return {
		...(record === undefined ? {} : { record }),
		...(parameters === undefined ? {} : { infotext: parseInfotext(parameters) }),
	};
};

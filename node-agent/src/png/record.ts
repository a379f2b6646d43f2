/**
 * What a picture says about itself: the A1111 `parameters` text, which most tools read, and our own `limner` JSON, which
 * is complete. Neither holds times or ids, so that one request makes the same bytes every time.
 * @module
 */
import { infotext, LIMNER_VERSION, parseInfotext, type Infotext } from '@limner/shared';
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

export { infotext, parseInfotext, type Infotext };

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

/**
 * Bodies of OpenAI's Images API, and the plain fields that Limner adds to them (an SDK sends those as `extra_body`).
 * @module
 */
import { z } from '@hono/zod-openapi';
import { OutputFormat, REQUEST_LIMITS as L, resolveScheduler } from '@limner/shared';
import { named } from '../../lib/openapi.ts';

/** OpenAI's own bound. */
export const N_MAX = 10;
export const IMAGES_MAX = 16;

const size = z.string().regex(/^(?:auto|\d{1,5}x\d{1,5})$/, 'must be "auto" or WIDTHxHEIGHT, like "1024x1024"');
const prompt = z.string().min(1).max(L.promptChars);

/** Fields of Limner, in the spelling that tools for Stable Diffusion use. */
const extra = {
	negative_prompt: z.string().max(L.promptChars).nullish(),
	seed: z.int().min(L.seedMin).max(L.seedMax).nullish(),
	steps: z.int().min(L.stepsMin).max(L.stepsMax).nullish(),
	guidance_scale: z.number().min(L.guidanceMin).max(L.guidanceMax).nullish(),
	scheduler: z
		.string()
		.max(64)
		.refine((name) => resolveScheduler(name) !== undefined, 'is not a scheduler that Limner knows; see GET /api/v1/schedulers')
		.nullish(),
};

const common = {
	model: z.string().min(1).max(L.modelNameChars).nullish(),
	n: z.int().min(1).max(N_MAX).nullish(),
	size: size.nullish(),
	response_format: z.enum(['url', 'b64_json']).nullish(),
	user: z.string().max(512).nullish(),
};

const output = {
	quality: z.enum(['auto', 'standard', 'hd', 'low', 'medium', 'high']).nullish(),
	output_format: OutputFormat.nullish(),
	/** Quality of JPEG and WebP in percent. */
	output_compression: z.int().min(0).max(100).nullish(),
	background: z
		.enum(['auto', 'opaque', 'transparent'])
		.nullish()
		.openapi({ enum: ['auto', 'opaque', null] }),
	moderation: z.enum(['auto', 'low']).nullish(),
	stream: z.boolean().nullish(),
	partial_images: z.int().min(0).max(3).nullish(),
};

export const GenerationBody = named(
	z.strictObject({ prompt, ...common, ...output, style: z.enum(['vivid', 'natural']).nullish(), ...extra }),
	'OpenAIImageGeneration',
);
export type GenerationBody = z.infer<typeof GenerationBody>;

const editFields = {
	prompt,
	...common,
	...output,
	input_fidelity: z.enum(['high', 'low']).nullish(),
	/** How much of the input picture is changed. */
	strength: z.number().min(L.strengthMin).max(L.strengthMax).nullish(),
	...extra,
};
/** A picture inside a JSON body: base64 in a `data:` URL. */
export const ImageRef = z.strictObject({ image_url: z.string().min(1) });

/** The scalar fields of an edit; pictures come beside them. */
export const EditFields = z.strictObject(editFields);
export type EditFields = z.infer<typeof EditFields>;
export const EditJson = named(
	z.strictObject({ ...editFields, images: z.array(ImageRef).min(1).max(IMAGES_MAX), mask: ImageRef.nullish() }),
	'OpenAIImageEdit',
);
export const VariationFields = z.strictObject({ ...common, ...extra, strength: editFields.strength });

const binary = z.any().openapi({ type: 'string', format: 'binary' });
export const EditForm = named(
	z
		.object({ image: binary.optional(), 'image[]': z.array(binary).optional(), mask: binary.optional(), ...editFields })
		.openapi({ anyOf: [{ required: ['image'] }, { required: ['image[]'] }] }),
	'OpenAIImageEditForm',
);
export const VariationForm = named(
	z.object({ image: binary, ...VariationFields.shape }).openapi({ required: ['image'] }),
	'OpenAIImageVariationForm',
);

const Usage = z.object({
	total_tokens: z.int(),
	input_tokens: z.int(),
	output_tokens: z.int(),
	input_tokens_details: z.object({ text_tokens: z.int(), image_tokens: z.int() }),
});
export type TokenUsage = z.infer<typeof Usage>;

export const ImagesResponse = named(
	z.object({
		created: z.int(),
		data: z.array(z.object({ b64_json: z.string().optional(), url: z.string().optional() })),
		background: z.literal('opaque'),
		output_format: OutputFormat,
		size: z.string(),
		quality: z.string(),
		usage: Usage,
	}),
	'OpenAIImagesResponse',
);
export type ImagesResponse = z.infer<typeof ImagesResponse>;

export const OpenAIError = named(
	z.object({ error: z.object({ message: z.string(), type: z.string(), param: z.string().nullable(), code: z.string().nullable() }) }),
	'OpenAIError',
);

export const OpenAIModel = named(
	z.object({ id: z.string(), object: z.literal('model'), created: z.int(), owned_by: z.string() }),
	'OpenAIModel',
);

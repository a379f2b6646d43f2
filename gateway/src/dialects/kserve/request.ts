/**
 * KServe's bodies (v1 and the Open Inference Protocol) as jobs. KServe itself defines no pictures: v1 follows the shape
 * of Vertex AI's image models, which clients speak; v2 names its tensors after the native fields. Pure.
 * @module
 */
import { z } from '@hono/zod-openapi';
import { LimnerError, REQUEST_LIMITS as L, resolveScheduler, type JobRequest } from '@limner/shared';
import { named } from '../../lib/openapi.ts';

/** Fields that both versions can set. */
const settings = {
	negativePrompt: z.string().max(L.promptChars).optional(),
	seed: z.int().min(L.seedMin).max(L.seedMax).optional(),
	steps: z.int().min(L.stepsMin).max(L.stepsMax).optional(),
	guidance: z.number().min(L.guidanceMin).max(L.guidanceMax).optional(),
	width: z.int().min(1).optional(),
	height: z.int().min(1).optional(),
	strength: z.number().min(L.strengthMin).max(L.strengthMax).optional(),
	scheduler: z
		.string()
		.refine((name) => resolveScheduler(name) !== undefined, 'is not a scheduler that Limner knows')
		.optional(),
	n: z.int().min(L.nMin).max(L.nMax).optional(),
	outputFormat: z.enum(['png', 'jpeg', 'webp']).optional(),
};

/** What to draw: settings, words, and pictures as base64. */
export const Wish = z.strictObject({
	...settings,
	prompt: z.string().min(1).max(L.promptChars),
	image: z.string().optional(),
	mask: z.string().optional(),
});
export type Wish = z.infer<typeof Wish>;

const Bytes = z.strictObject({ bytesBase64Encoded: z.string().min(1), mimeType: z.string().optional() });
const Instance = z.strictObject({
	prompt: z.string().min(1).max(L.promptChars),
	negative_prompt: z.string().optional(),
	negativePrompt: z.string().optional(),
	image: Bytes.optional(),
	mask: z.union([Bytes, z.strictObject({ image: Bytes })]).optional(),
});
const Parameters = z.strictObject({
	sampleCount: z.int().optional(),
	negativePrompt: z.string().optional(),
	seed: settings.seed,
	steps: settings.steps,
	sampleImageSize: z.string().optional(),
	width: settings.width,
	height: settings.height,
	guidanceScale: settings.guidance,
	strength: settings.strength,
	scheduler: settings.scheduler,
	outputOptions: z.strictObject({ mimeType: z.enum(['image/png', 'image/jpeg', 'image/webp']) }).optional(),
});
export const PredictBody = named(
	z
		.strictObject({
			instances: z.union([z.array(Instance).min(1).max(L.nMax), Instance]).optional(),
			inputs: z.union([z.array(Instance).min(1).max(L.nMax), Instance]).optional(),
			parameters: Parameters.optional(),
		})
		.openapi({ anyOf: [{ required: ['instances'] }, { required: ['inputs'] }] }),
	'KServePredict',
);
export const Predictions = named(
	z.object({ predictions: z.array(z.object({ bytesBase64Encoded: z.string(), mimeType: z.string(), seed: z.int() })) }),
	'KServePredictions',
);

const Tensor = z.object({
	name: z.string(),
	shape: z.array(z.int().min(0)),
	datatype: z.string(),
	data: z.array(z.union([z.string(), z.number(), z.boolean()])),
	parameters: z.record(z.string(), z.unknown()).optional(),
});
export const InferBody = named(
	z.object({
		id: z.string().max(200).optional(),
		parameters: z.record(z.string(), z.unknown()).optional(),
		inputs: z.array(Tensor).min(1),
		outputs: z.array(z.object({ name: z.string() })).optional(),
	}),
	'KServeInfer',
);
export type InferBody = z.infer<typeof InferBody>;
export const Inferred = named(
	z.object({ model_name: z.string(), model_version: z.string().optional(), id: z.string(), outputs: z.array(Tensor) }),
	'KServeInferred',
);
export const KServeError = named(z.object({ error: z.string() }), 'KServeError');

const present = <T extends object>(values: T): T =>
	Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;

const bad = (detail: string): LimnerError => new LimnerError('bad_request', { detail });

/** The wishes of a v1 body, one for each instance. */
export const wishesOf = (body: z.infer<typeof PredictBody>): Wish[] => {
	const { instances = body.inputs, parameters = {} } = body;
	if (instances === undefined) throw bad('Expected "instances" to be a list');
	const { sampleCount, guidanceScale, outputOptions, sampleImageSize: _hint, ...rest } = parameters;
	const list = Array.isArray(instances) ? instances : [instances];
	if (list.length === 0 || list.length > L.nMax) throw bad(`"instances" must hold 1 to ${L.nMax} entries`);
	return list.map(({ prompt, negative_prompt: snake, negativePrompt = snake, image, mask }) =>
		present({
			...rest,
			prompt,
			negativePrompt: negativePrompt ?? rest.negativePrompt,
			n: sampleCount,
			guidance: guidanceScale,
			outputFormat: outputOptions?.mimeType.slice('image/'.length) as Wish['outputFormat'],
			image: image?.bytesBase64Encoded,
			mask: mask === undefined ? undefined : 'image' in mask ? mask.image.bytesBase64Encoded : mask.bytesBase64Encoded,
		}),
	);
};

/** Names of v2 tensors and parameters, in snake case as Python clients write them, and the fields that they set. */
export const TENSORS: readonly { name: string; datatype: string; field: keyof Wish }[] = [
	{ name: 'prompt', datatype: 'BYTES', field: 'prompt' },
	{ name: 'negative_prompt', datatype: 'BYTES', field: 'negativePrompt' },
	{ name: 'image', datatype: 'BYTES', field: 'image' },
	{ name: 'mask', datatype: 'BYTES', field: 'mask' },
	{ name: 'seed', datatype: 'INT64', field: 'seed' },
	{ name: 'steps', datatype: 'INT32', field: 'steps' },
	{ name: 'guidance', datatype: 'FP32', field: 'guidance' },
	{ name: 'width', datatype: 'INT32', field: 'width' },
	{ name: 'height', datatype: 'INT32', field: 'height' },
	{ name: 'strength', datatype: 'FP32', field: 'strength' },
	{ name: 'scheduler', datatype: 'BYTES', field: 'scheduler' },
	{ name: 'n', datatype: 'INT32', field: 'n' },
	{ name: 'output_format', datatype: 'BYTES', field: 'outputFormat' },
];
/** Parameters of the protocol itself. */
const PROTOCOL = new Set(['binary_data_output', 'content_type', 'headers']);

/** The fields of a v2 body: parameters, and tensors of one value over them. Values are checked by `Wish`. */
export const wishFields = ({ inputs, parameters = {} }: InferBody): Record<string, unknown> => {
	const fields: Record<string, unknown> = {};
	const set = (name: string, value: unknown): void => {
		const tensor = TENSORS.find((one) => one.name === name);
		if (tensor === undefined) throw bad(`the input ${name} is unknown; there are: ${TENSORS.map((one) => one.name).join(', ')}`);
		fields[tensor.field] = value;
	};
	for (const [name, value] of Object.entries(parameters)) if (!PROTOCOL.has(name)) set(name, value);
	for (const { name, data, datatype } of inputs) {
		if (data.length !== 1) throw bad(`the input ${name} must have the shape [1]; send one request for each picture`);
		const wanted = TENSORS.find((one) => one.name === name)?.datatype;
		if (wanted === 'BYTES' && datatype !== 'BYTES') throw bad(`the input ${name} must have the datatype BYTES`);
		set(name, data[0]);
	}
	return fields;
};

/** The job of a wish, without its pictures. */
export const jobFields = ({ image: _image, mask: _mask, width: _width, height: _height, ...rest }: Wish): Omit<JobRequest, 'model'> => ({
	...rest,
	labels: ['kserve'],
});

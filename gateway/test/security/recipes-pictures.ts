/**
 * Good requests for pictures, in this API's words and in those of others: the tenant's machine draws them.
 */
import { imageId } from '@limner/shared';
import { call } from '../http/harness.ts';
import { makePng } from '../storage/pictures.ts';
import { drawnJob, machineOf } from './drawing.ts';
import { newFullTenant, type Make, type Recipe, type Tenant } from './recipes.ts';

const MODEL = 'storybook';
const PROMPT = 'a red castle';
const png = (): Uint8Array<ArrayBuffer> => new Uint8Array(makePng({ width: 64, height: 64 }));
const base64 = (): string => Buffer.from(png()).toString('base64');
const none: Make = () => ({});

/** With the machine at work; names of models are nobody's secret. */
const drawn =
	(recipe: Recipe): Make =>
	async (tenant) => {
		await machineOf(tenant);
		return { ...recipe, everybodys: true };
	};
const image =
	(more: Recipe = {}): Make =>
	async (tenant) => ({ params: { id: imageId(await drawnJob(tenant), 0) }, ...more });

/** A form as its bytes and their type. */
const form = async (fields: Record<string, string | Uint8Array<ArrayBuffer>>): Promise<Recipe> => {
	const data = new FormData();
	for (const [name, value] of Object.entries(fields)) {
		if (typeof value === 'string') data.append(name, value);
		else data.append(name, new Blob([value], { type: 'image/png' }), 'picture.png');
	}
	const request = new Request('http://form', { method: 'POST', body: data });
	return {
		body: new Uint8Array(await request.arrayBuffer()),
		headers: { 'content-type': request.headers.get('content-type') ?? '' },
	};
};

const prediction = async ({ key }: Tenant): Promise<string> =>
	(await (await call('/v1/predictions', { key, json: { input: { prompt: PROMPT } } })).json<{ id: string }>()).id;
const ofPrediction: Make = async (tenant) => ({ params: { id: await prediction(tenant) } });

const a1111 = { prompt: PROMPT, width: 64, height: 64, steps: 4 };
const cog = { input: { prompt: PROMPT, width: 64, height: 64 } };
const model = { params: { model: MODEL } };

export const PICTURE_RECIPES: Record<string, Make> = {
	getJobImage: async (tenant) => ({ params: { id: await drawnJob(tenant), index: '0' } }),
	getImage: image(),
	getImageMetadata: image(),
	deleteImage: image(),
	getObject: async (tenant) => {
		const view = await (await call(`/api/v1/jobs/${await drawnJob(tenant)}`, { key: tenant.key })).json<{ images: { url: string }[] }>();
		return { as: null, params: { ticket: new URL(view.images[0]?.url ?? '').pathname.split('/').at(-1) ?? '' } };
	},
	getAsset: async ({ key }) => {
		const made = await call('/api/v1/assets', { method: 'POST', key, body: png() as BodyInit, headers: { 'content-type': 'image/png' } });
		return { params: { id: (await made.json<{ id: string }>()).id } };
	},
	restorePicture: async (tenant) => {
		// Into a workspace that has the job and lost the bytes.
		const id = await drawnJob(tenant);
		const bytes = new Uint8Array(await (await call(`/api/v1/jobs/${id}/images/0`, { key: tenant.key })).arrayBuffer());
		return { params: { id, index: '0' }, body: bytes, headers: { 'content-type': 'application/octet-stream' } };
	},
	openaiGenerateImages: drawn({ json: { model: MODEL, prompt: PROMPT } }),
	openaiEditImage: async (tenant) => {
		await machineOf(tenant);
		return form({ model: MODEL, prompt: PROMPT, image: png() });
	},
	openaiVaryImage: async (tenant) => {
		await machineOf(tenant);
		return form({ model: MODEL, image: png() });
	},
	dialectGetModel: drawn(model),
	kservePredict: drawn({ ...model, json: { instances: [{ prompt: PROMPT }] } }),
	kserveInfer: drawn({ ...model, json: { inputs: [{ name: 'prompt', shape: [1], datatype: 'BYTES', data: [PROMPT] }] } }),
	kserveModels: none,
	kserveModel: drawn(model),
	kserveModelReady: drawn(model),
	cogPredict: drawn({ json: cog }),
	cogPutPrediction: async (tenant) => {
		await machineOf(tenant);
		return { params: { id: crypto.randomUUID() }, json: cog, everybodys: true };
	},
	cogGetPrediction: ofPrediction,
	cogCancelPrediction: async () => {
		const tenant = await newFullTenant();
		return { as: tenant.key, params: { id: await prediction(tenant) } };
	},
	replicatePredict: drawn({ json: cog }),
	replicatePredictWithModel: drawn({ params: { owner: 'limner', name: MODEL }, json: cog }),
	replicateGetPrediction: ofPrediction,
	replicateCancelPrediction: async () => {
		const tenant = await newFullTenant();
		return { as: tenant.key, params: { id: await prediction(tenant) } };
	},
	a1111Txt2Img: drawn({ json: a1111 }),
	a1111Img2Img: drawn({ json: { ...a1111, init_images: [base64()], denoising_strength: 0.75 } }),
	a1111ExtraSingle: drawn({ json: { image: base64(), upscaler_1: 'Lanczos', upscaling_resize: 2 } }),
	a1111ExtraBatch: drawn({ json: { imageList: [{ data: base64() }], upscaler_1: 'Lanczos', upscaling_resize: 2 } }),
	a1111PngInfo: () => ({ json: { image: base64() } }),
	a1111SetOptions: drawn({ json: { sd_model_checkpoint: MODEL } }),
	a1111TaskProgress: () => ({ json: { id_task: 'task(x)' } }),
	...Object.fromEntries(
		(
			'Progress Interrupt Skip Models Samplers Schedulers Upscalers LatentUpscalers Loras Hypernetworks Vaes FaceRestorers RealEsrgan Styles ' +
			'Embeddings Scripts Memory Flags GetOptions Refresh PendingTasks'
		)
			.split(' ')
			.map((name) => [`a1111${name}`, none]),
	),
};

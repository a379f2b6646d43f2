/**
 * The lists that A1111's clients read before they offer anything: only what is true here.
 * @module
 */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import type { AppContext, AppEnv } from '../../lib/context.ts';
import { modelsOf } from '../../lib/models.ts';
import { jsonRequest, jsonResponse, named, newApp, secured, securedJson } from '../../lib/openapi.ts';
import { modelFor } from '../lib/model.ts';
import { refusals, refuse } from './errors.ts';
import { UPSCALER } from './hires.ts';
import { OptionsBody, optionsView, readOptions, writeOptions } from './options.ts';
import { jobsOfKey, taskName, taskProgressOf } from './progress.ts';
import { NOISE_SCHEDULES, samplerNames } from './request.ts';
import { TaskProgress } from './schema.ts';

const tags = ['a1111'];

const SdModel = named(
	z.object({
		title: z.string(),
		model_name: z.string(),
		hash: z.string().nullable(),
		sha256: z.string().nullable(),
		filename: z.string(),
		config: z.string().nullable(),
	}),
	'A1111Model',
);
const Sampler = named(
	z.object({ name: z.string(), aliases: z.array(z.string()), options: z.record(z.string(), z.string()) }),
	'A1111Sampler',
);
const Schedule = named(
	z.object({
		name: z.string(),
		label: z.string(),
		aliases: z.array(z.string()).nullable(),
		default_rho: z.number(),
		need_inner_model: z.boolean(),
	}),
	'A1111Scheduler',
);
const Upscaler = named(
	z.object({
		name: z.string(),
		model_name: z.string().nullable(),
		model_path: z.string().nullable(),
		model_url: z.string().nullable(),
		scale: z.number(),
	}),
	'A1111Upscaler',
);
const Memory = named(z.object({ ram: z.object({ error: z.string() }), cuda: z.object({ error: z.string() }) }), 'A1111Memory');
const Options = named(OptionsBody, 'A1111Options');

/** What the web UI says of upscalers without a model; requests name their own scale. */
const UPSCALER_SCALE = 4;
const KARRAS_RHO = 7;
const schedule = (label: string) => ({
	name: label.toLowerCase(),
	label,
	aliases: null,
	default_rho: label === 'Karras' ? KARRAS_RHO : -1,
	need_inner_model: false,
});
const NO_MEMORY = { error: 'a gateway draws nothing itself; its nodes and their memory are at GET /api/v1/supervisor/workers' };

const sdModels = async (c: AppContext): Promise<z.infer<typeof SdModel>[]> =>
	(await modelsOf(c, c.get('principal').ws)).map(({ name }) => ({
		title: name,
		model_name: name,
		hash: null,
		sha256: null,
		filename: name,
		config: null,
	}));

interface Listing {
	path: string;
	operationId: string;
	summary: string;
	schema: z.ZodType;
	value: (c: AppContext) => unknown;
}

const none = (path: string, operationId: string, summary: string): Listing => ({
	path,
	operationId,
	summary,
	schema: z.array(z.object({ name: z.string() })),
	value: () => [],
});

const LISTS: Listing[] = [
	{ path: '/sd-models', operationId: 'a1111Models', summary: 'Models (A1111)', schema: z.array(SdModel), value: sdModels },
	{
		path: '/samplers',
		operationId: 'a1111Samplers',
		summary: 'Samplers (A1111)',
		schema: z.array(Sampler),
		value: () => samplerNames().map(({ name, label, aliases }) => ({ name: label, aliases: [name, ...aliases], options: {} })),
	},
	{
		path: '/schedulers',
		operationId: 'a1111Schedulers',
		summary: 'Noise schedules (A1111)',
		schema: z.array(Schedule),
		value: () => ['Automatic', ...NOISE_SCHEDULES].map(schedule),
	},
	{
		path: '/upscalers',
		operationId: 'a1111Upscalers',
		summary: 'Upscalers (A1111)',
		schema: z.array(Upscaler),
		value: () => ['None', UPSCALER].map((name) => ({ name, model_name: null, model_path: null, model_url: null, scale: UPSCALER_SCALE })),
	},
	none('/latent-upscale-modes', 'a1111LatentUpscalers', 'Latent upscalers (A1111); none'),
	none('/loras', 'a1111Loras', 'LoRAs (A1111); none'),
	none('/hypernetworks', 'a1111Hypernetworks', 'Hypernetworks (A1111); none'),
	none('/sd-vae', 'a1111Vaes', 'VAEs (A1111); each model has its own'),
	none('/face-restorers', 'a1111FaceRestorers', 'Face restorers (A1111); none'),
	none('/realesrgan-models', 'a1111RealEsrgan', 'Real-ESRGAN models (A1111); none'),
	none('/prompt-styles', 'a1111Styles', 'Saved prompts (A1111); none'),
	{
		path: '/embeddings',
		operationId: 'a1111Embeddings',
		summary: 'Embeddings (A1111); none',
		schema: z.object({ loaded: z.object({}), skipped: z.object({}) }),
		value: () => ({ loaded: {}, skipped: {} }),
	},
	{
		path: '/scripts',
		operationId: 'a1111Scripts',
		summary: 'Scripts (A1111); none',
		schema: z.object({ txt2img: z.array(z.string()), img2img: z.array(z.string()) }),
		value: () => ({ txt2img: [], img2img: [] }),
	},
	{
		path: '/memory',
		operationId: 'a1111Memory',
		summary: 'Memory (A1111); the nodes tell theirs elsewhere',
		schema: Memory,
		value: () => ({ ram: NO_MEMORY, cuda: NO_MEMORY }),
	},
	{
		path: '/cmd-flags',
		operationId: 'a1111Flags',
		summary: 'Command line of the web UI (A1111)',
		schema: z.object({ api: z.boolean(), api_auth: z.string().nullable(), nowebui: z.boolean() }),
		value: () => ({ api: true, api_auth: null, nowebui: true }),
	},
	{
		path: '/options',
		operationId: 'a1111GetOptions',
		summary: 'Settings of this key (A1111)',
		schema: Options,
		value: async (c) => optionsView(await readOptions(c), c.env.DEFAULT_MODEL),
	},
];

/** Adds the lists and the options. */
export const addLists = (app: OpenAPIHono<AppEnv>): void => {
	for (const { path, operationId, summary, schema, value } of LISTS) {
		const route = createRoute({
			method: 'get',
			path,
			operationId,
			tags,
			summary,
			...secured('jobs:read'),
			responses: { 200: jsonResponse(schema, summary), ...refusals },
		});
		app.openapi(route, async (c) => c.json(await value(c), 200) as never);
	}
	app.openapi(
		createRoute({
			method: 'post',
			path: '/options',
			operationId: 'a1111SetOptions',
			tags,
			summary: 'Set the model and the file format for this key (A1111)',
			...securedJson('jobs:write'),
			request: { body: jsonRequest(Options) },
			responses: { 200: { description: 'Done', content: { 'application/json': { schema: z.null() } } }, ...refusals },
		}),
		async (c) => {
			const body = c.req.valid('json');
			if (body.sd_model_checkpoint !== undefined) await modelFor(c, body.sd_model_checkpoint);
			await writeOptions(c, body);
			return c.json(null, 200);
		},
	);
	app.openapi(
		createRoute({
			method: 'post',
			path: '/refresh-checkpoints',
			operationId: 'a1111Refresh',
			tags,
			summary: 'Does nothing: the list of models is always fresh (A1111)',
			...secured('jobs:read'),
			responses: { 200: { description: 'Done', content: { 'application/json': { schema: z.null() } } }, ...refusals },
		}),
		(c) => c.json(null, 200),
	);
};

/** `/internal`, which the web UI's own page polls. Mounted at the root. */
export const internalRoutes = newApp();
internalRoutes.onError((error, c) => refuse(c, error));

internalRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/internal/progress',
		operationId: 'a1111TaskProgress',
		tags,
		summary: 'Progress of a `force_task_id` (A1111)',
		...securedJson('jobs:read'),
		request: {
			body: jsonRequest(
				named(
					z.object({ id_task: z.string(), id_live_preview: z.int().optional(), live_preview: z.boolean().optional() }),
					'A1111TaskQuestion',
				),
			),
		},
		responses: { 200: jsonResponse(TaskProgress, 'The progress'), ...refusals },
	}),
	async (c) => {
		const { id_task: task, id_live_preview: seen = -1, live_preview: wanted = true } = c.req.valid('json');
		return c.json(await taskProgressOf(c, task, seen, wanted), 200);
	},
);

internalRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/internal/pending-tasks',
		operationId: 'a1111PendingTasks',
		tags,
		summary: 'Open jobs of this key (A1111)',
		...secured('jobs:read'),
		responses: {
			200: jsonResponse(named(z.object({ size: z.int(), tasks: z.array(z.string()) }), 'A1111PendingTasks'), 'The tasks'),
			...refusals,
		},
	}),
	async (c) => {
		const tasks = [...new Set((await jobsOfKey(c, true)).map(taskName))];
		return c.json({ size: tasks.length, tasks }, 200);
	},
);

/**
 * The tools that Limner offers over MCP: names, schemas and words. Used by the gateway, and by the stdio bridge, which
 * lists them also when no gateway answers.
 * @module
 */
import { z } from 'zod';
import { JOB_ID_PATTERN } from './ids.ts';
import { MCP_LIMITS as M, REQUEST_LIMITS as L } from './limits.ts';
import { ModelName } from './models.ts';
import { WorkflowJob } from './workflows.ts';

/** What hosts are told of a tool's nature; hints, not promises. */
export interface McpAnnotations {
	readOnlyHint: boolean;
	destructiveHint: boolean;
	idempotentHint: boolean;
	openWorldHint: boolean;
}

export interface McpTool {
	title: string;
	description: string;
	/** All of what a key must be allowed to do; the tool is listed to no other key. */
	scopes: readonly string[];
	input: z.ZodObject;
	output: z.ZodObject;
	annotations: McpAnnotations;
	/** Shown by hosts that draw MCP Apps. */
	view?: true;
}

const READ: McpAnnotations = { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false };
const MAKE: McpAnnotations = { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: true };

const jobId = z.string().regex(JOB_ID_PATTERN, 'must be a job id, as an earlier tool answered it').describe('job_… of an earlier answer');
const imageId = z.string().min(1).max(80).describe('img_… of an earlier answer');
const size = z.int().min(L.sizeMinPx).max(L.sizeMaxPx).multipleOf(L.sizeMultiplePx);
const reference = z.string().min(1).max(M.urlChars);
const waitSeconds = (fallback: number) =>
	z.int().min(0).max(M.waitMaxS).default(fallback).describe('Seconds to wait for the end before answering what is known by then');

/** What both `generate_image` and `regenerate` can say of a picture. */
const pictureFields = {
	model: ModelName.optional().describe('Name from list_models; left out: the default model'),
	negative_prompt: z.string().max(L.promptChars).optional().describe('What the picture must not show'),
	width: size.optional().describe('Pixels, a multiple of 8; left out: the size the model was made for'),
	height: size.optional(),
	steps: z.int().min(L.stepsMin).max(L.stepsMax).optional().describe('Denoising steps; left out: what suits the model'),
	guidance_scale: z.number().min(L.guidanceMin).max(L.guidanceMax).optional().describe('How closely to follow the prompt'),
	scheduler: z.string().max(64).optional(),
	seed: z.int().min(L.seedMin).max(L.seedMax).optional().describe('The same seed and request make the same picture; left out: random'),
	output_format: z.enum(['png', 'jpeg', 'webp']).optional(),
	n: z.int().min(1).max(M.nMax).optional().describe('Pictures to make'),
	strength: z.number().min(0).max(1).optional().describe('With image: 0 only resizes it, 1 makes it all anew'),
};

const answerFields = {
	preview: z.enum(['auto', 'none']).default('auto').describe('auto: a small copy of a single picture comes along, for you to look at'),
	wait_seconds: waitSeconds(M.waitDefaultS),
	idempotency_key: z
		.string()
		.min(1)
		.max(L.idempotencyKeyChars)
		.regex(/^[\x20-\x7e]+$/, 'printable ASCII characters only')
		.optional()
		.describe('Calls with the same key and arguments are one job'),
};

const Picture = z.object({
	image_id: z.string(),
	url: z.string().describe('Works without a key until expires_at'),
	mime_type: z.string(),
	width: z.int(),
	height: z.int(),
	bytes: z.int(),
	seed: z.int(),
	sha256: z.string(),
	expires_at: z.string(),
});

export const McpGeneration = z.object({
	job_id: z.string(),
	status: z.enum(['waiting', 'queued', 'running', 'succeeded', 'failed', 'canceled', 'expired']),
	progress: z.number().min(0).max(100),
	queue_position: z.int().optional(),
	eta_seconds: z.number().optional(),
	poll_after_seconds: z.number().optional().describe('Present while it is open: when to call get_generation'),
	reason: z.string().optional().describe('Why it waits'),
	model: z.string(),
	prompt: z.string(),
	params: z.object({
		task: z.string(),
		width: z.int(),
		height: z.int(),
		steps: z.int(),
		guidance_scale: z.number(),
		scheduler: z.string(),
		seed: z.int(),
		n: z.int(),
		negative_prompt: z.string().optional(),
		strength: z.number().optional(),
	}),
	images: z.array(Picture),
	warnings: z.array(z.string()),
	error: z.object({ code: z.string(), message: z.string() }).optional(),
	repeated: z.boolean().optional().describe('An equal call came a moment ago: this is its job'),
});
export type McpGeneration = z.infer<typeof McpGeneration>;

const report = (fields: z.ZodRawShape = {}) => z.looseObject(fields);

export const MCP_TOOLS = {
	generate_image: {
		title: 'Generate image',
		description:
			'Makes pictures from a prompt, or changes one (image; with mask: only there). Waits up to wait_seconds; when it takes longer the answer has status "running" and a job_id: call get_generation with it. Show the user the url of each picture; it is a link that expires, the picture itself is kept longer. An equal call within two minutes answers the same job, so give another seed, or use regenerate, for another picture.',
		scopes: ['jobs:write', 'jobs:read'],
		input: z.strictObject({
			prompt: z.string().min(1).max(L.promptChars).describe('What the picture shows'),
			...pictureFields,
			image: reference
				.optional()
				.describe('Picture to start from: asset_… of upload_image, img_… of an earlier answer, or an https address'),
			mask: reference.optional().describe('Where image may change: white, or transparent'),
			...answerFields,
		}),
		output: McpGeneration,
		annotations: MAKE,
		view: true,
	},
	get_generation: {
		title: 'Get generation',
		description: 'State and pictures of a job, by the job_id of an earlier answer. Give wait_seconds to wait for its end.',
		scopes: ['jobs:read'],
		input: z.strictObject({ job_id: jobId, wait_seconds: waitSeconds(0), preview: answerFields.preview }),
		output: McpGeneration,
		annotations: READ,
		view: true,
	},
	regenerate: {
		title: 'Regenerate image',
		description:
			'Makes a picture again with changes: takes every parameter of an earlier picture or job, replaces those that you give, and picks a new seed unless you give one. Use it for "another one like this" and "the same but …".',
		scopes: ['jobs:write', 'jobs:read'],
		input: z.strictObject({
			id: z.string().min(1).max(80).describe('img_… or job_… of an earlier answer'),
			prompt: z.string().min(1).max(L.promptChars).optional(),
			...pictureFields,
			...answerFields,
		}),
		output: McpGeneration,
		annotations: MAKE,
		view: true,
	},
	view_image: {
		title: 'View image',
		description: 'A picture as an image block, made smaller when it must be, so that you can look at it.',
		scopes: ['images:read'],
		input: z.strictObject({
			image_id: imageId,
			max_dim: z.int().min(32).max(M.viewMaxPx).default(M.viewDefaultPx).describe('Longest side in pixels'),
		}),
		output: z.object({ ...Picture.shape, job_id: z.string(), prompt: z.string(), model: z.string(), shown: z.boolean() }),
		annotations: READ,
	},
	cancel_generation: {
		title: 'Cancel generation',
		description: 'Stops a job that has not ended. Pictures that are made are kept.',
		scopes: ['jobs:write', 'jobs:read'],
		input: z.strictObject({ job_id: jobId }),
		output: McpGeneration,
		annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: true, openWorldHint: false },
	},
	list_generations: {
		title: 'List generations',
		description: 'Earlier jobs, newest first, with their prompts and pictures.',
		scopes: ['jobs:read'],
		input: z.strictObject({
			limit: z.int().min(1).max(M.listMax).default(10),
			cursor: z.string().min(1).max(200).optional().describe('next_cursor of the page before'),
			status: z.enum(['waiting', 'queued', 'running', 'succeeded', 'failed', 'canceled', 'expired']).optional(),
		}),
		output: z.object({ generations: z.array(McpGeneration), next_cursor: z.string().nullable() }),
		annotations: READ,
	},
	upload_image: {
		title: 'Upload image',
		description:
			'Stores a picture to start from. Give an https address, or the bytes as base64 when they are few. Answers an asset id for image or mask.',
		scopes: ['images:write'],
		input: z.strictObject({
			url: z
				.url({ protocol: /^https?$/ })
				.max(M.urlChars)
				.optional(),
			data: z.base64().max(M.base64Chars).optional().describe('PNG, JPEG or WebP'),
		}),
		output: z.object({
			asset_id: z.string(),
			mime_type: z.string(),
			width: z.int(),
			height: z.int(),
			bytes: z.int(),
			sha256: z.string(),
			expires_at: z.string(),
		}),
		annotations: { ...MAKE, idempotentHint: true },
	},
	list_models: {
		title: 'List models',
		description: 'Models that can be used now: what they draw, their sizes and defaults.',
		scopes: ['jobs:read'],
		input: z.strictObject({ operation: z.enum(['txt2img', 'img2img', 'inpaint']).optional() }),
		output: z.object({
			models: z.array(
				z.object({
					name: z.string(),
					title: z.string(),
					is_default: z.boolean(),
					warm: z.boolean(),
					nodes: z.int(),
					operations: z.array(z.string()),
					width: z.int(),
					height: z.int(),
					steps: z.int(),
					guidance_scale: z.number(),
					scope: z.string().optional(),
					licence: z.string().optional(),
				}),
			),
		}),
		annotations: READ,
	},
	get_usage: {
		title: 'Get usage',
		description: 'What this workspace has made, and how many jobs are open.',
		scopes: ['resources:read'],
		input: z.strictObject({}),
		output: report({ images: z.int(), megapixelSteps: z.number(), openJobs: z.int() }),
		annotations: READ,
	},
	submit_workflow: {
		title: 'Submit workflow',
		description:
			'Several jobs at once, some of which wait for others (dependsOn) or start from their pictures (initImage: {job: key}). Fields are those of the HTTP API (camelCase). Answers at once; follow the jobs with get_generation.',
		scopes: ['jobs:write', 'jobs:read'],
		input: z.strictObject({
			name: z.string().min(1).max(200).optional(),
			onDependencyFailure: z.enum(['fail', 'run']).optional(),
			jobs: z.array(WorkflowJob).min(1).max(M.workflowJobs),
			idempotency_key: answerFields.idempotency_key,
		}),
		output: z.object({
			workflow_id: z.string(),
			status: z.string(),
			jobs: z.array(z.object({ key: z.string(), job_id: z.string(), status: z.string() })),
		}),
		annotations: MAKE,
	},
} as const satisfies Record<string, McpTool>;

const ADMIN: McpAnnotations = { readOnlyHint: false, destructiveHint: false, idempotentHint: true, openWorldHint: false };
const STOPS: McpAnnotations = { ...ADMIN, destructiveHint: true };

/** The operator's toolset: listed only to keys that may use it. */
export const MCP_ADMIN_TOOLS = {
	initialize_pool: {
		title: 'Initialize pool',
		description: 'Spreads a number of slots over the workspace’s connected nodes, and wakes those that a shutdown paused.',
		scopes: ['supervisor:write'],
		input: z.strictObject({ size: z.int().min(1).max(16).optional().describe('Slots; left out: 4') }),
		output: report(),
		annotations: ADMIN,
	},
	submit_coordination_task: {
		title: 'Submit coordination task',
		description:
			'A task for the pool itself: RESEARCH (benchmark), INGEST (fetch a model), DISCOVERY (what a node can do), MIGRATION (move a model), HEARTBEAT (test picture), or GENERAL (a picture).',
		scopes: ['supervisor:write', 'jobs:write'],
		input: z.looseObject({ taskType: z.enum(['GENERAL', 'RESEARCH', 'INGEST', 'DISCOVERY', 'MIGRATION', 'HEARTBEAT']) }),
		output: report(),
		annotations: { ...MAKE, openWorldHint: false },
	},
	fail_coordination_agent: {
		title: 'Fail coordination agent',
		description: 'Fails what a slot works on; the task is tried elsewhere.',
		scopes: ['supervisor:write'],
		input: z.strictObject({
			agent_id: z.string().min(1).max(200).describe('<node id>.<slot>'),
			reason: z.string().min(1).max(200).optional(),
		}),
		output: report(),
		annotations: STOPS,
	},
	isolation_report: {
		title: 'Isolation report',
		description: 'Whether tasks kept apart: that no two used one slot, folder or engine process at a time.',
		scopes: ['supervisor:read'],
		input: z.strictObject({}),
		output: report(),
		annotations: READ,
	},
	coordination_metrics: {
		title: 'Coordination metrics',
		description: 'Numbers of the pool: nodes, slots, tasks, successes, delays.',
		scopes: ['supervisor:read'],
		input: z.strictObject({}),
		output: report(),
		annotations: READ,
	},
	shutdown_coordination_pool: {
		title: 'Shut down coordination pool',
		description: 'Pauses all nodes of the workspace. What runs is finished, or with now given back to the queue.',
		scopes: ['supervisor:write'],
		input: z.strictObject({ now: z.boolean().optional() }),
		output: report(),
		annotations: STOPS,
	},
} as const satisfies Record<string, McpTool>;

export type McpToolName = keyof typeof MCP_TOOLS;
export type McpAdminToolName = keyof typeof MCP_ADMIN_TOOLS;

export const MCP_INSTRUCTIONS =
	'Limner makes pictures on a pool of machines. generate_image makes them; when it answers status "running", call get_generation with its job_id. Give the user the links in the answer. regenerate makes variations of an earlier picture; upload_image brings one to start from. Pictures that you want to look at yourself: view_image.';

/**
 * The job API: what a caller sends (`JobRequest`), what is stored and granted (`JobSpec`), what a caller reads back
 * (`JobView`), and the events of its SSE stream.
 * @module
 */
import { z } from 'zod';
import { ASSET_ID_PATTERN, JOB_ID_PATTERN, NODE_ID_PATTERN } from './ids.ts';
import { REQUEST_LIMITS as L } from './limits.ts';
import { ModelName, Operation } from './models.ts';
import { resolveScheduler } from './schedulers.ts';
import { jobOrderFields, TaskParams, TaskType } from './task-types.ts';

/** Text without NUL: SQLite and PNG text chunks both end at it. */
const text = (max: number) =>
	z
		.string()
		.max(max)
		.refine((value) => !value.includes('\u0000'), 'must not contain NUL characters');

const size = z.int().min(L.sizeMinPx).max(L.sizeMaxPx).multipleOf(L.sizeMultiplePx).meta({ multipleOf: L.sizeMultiplePx });

/** An input picture: an uploaded asset, or a picture of a finished job. */
export const InputImage = z.union([
	z.strictObject({ asset: z.string().regex(ASSET_ID_PATTERN, 'must be an asset id') }),
	z.strictObject({
		job: z.string().regex(JOB_ID_PATTERN, 'must be a job id'),
		index: z
			.int()
			.min(0)
			.max(L.nMax - 1)
			.default(0),
	}),
]);
export type InputImage = z.infer<typeof InputImage>;

/** SDXL's size conditioning: two whole numbers of pixels, the vertical one first. */
const pixels = z.int().min(L.conditioningPxMin).max(L.conditioningPxMax);
const pixelPair = z.tuple([pixels, pixels]);

const schedulerField = z
	.string()
	.max(64)
	.refine((value) => resolveScheduler(value) !== undefined, 'is not a scheduler that Limner knows; see GET /api/v1/schedulers');

/** How the prompts are read. */
export const PromptMode = z.enum(['plain', 'weighted']);
export type PromptMode = z.infer<typeof PromptMode>;

/** What an inpainting starts from under its mask. */
export const MaskFill = z.enum(['original', 'around', 'noise', 'nothing']);
export type MaskFill = z.infer<typeof MaskFill>;

/** File formats of pictures. */
export const OutputFormat = z.enum(['png', 'jpeg', 'webp']);
export type OutputFormat = z.infer<typeof OutputFormat>;

/** Body of `POST /api/v1/jobs`. Everything but the prompt has a default that comes from the model. */
export const JobRequest = z.strictObject({
	taskType: z.literal('GENERAL').optional(),
	prompt: text(L.promptChars).min(1),
	negativePrompt: text(L.promptChars).nullable().optional(),
	model: ModelName.optional(),
	task: Operation.optional(),
	width: size.optional(),
	height: size.optional(),
	steps: z.int().min(L.stepsMin).max(L.stepsMax).optional(),
	guidance: z.number().min(L.guidanceMin).max(L.guidanceMax).optional(),
	scheduler: schedulerField.optional(),
	seed: z.int().min(L.seedMin).max(L.seedMax).nullable().optional(),
	n: z.int().min(L.nMin).max(L.nMax).optional(),
	/** How much of the input picture is changed. 0 without a mask: nothing is drawn, it is resized (Lanczos) to width and height. */
	strength: z.number().min(L.strengthMin).max(L.strengthMax).optional(),
	eta: z.number().min(L.etaMin).max(L.etaMax).optional(),
	guidanceRescale: z.number().min(L.guidanceRescaleMin).max(L.guidanceRescaleMax).optional(),
	initImage: InputImage.optional(),
	maskImage: InputImage.optional(),
	pasteBack: z.boolean().optional(),
	/** Inpainting: work at full size on the masked area and this many pixels around it. Implies `pasteBack`. */
	maskCropPadding: z.int().min(L.maskPxMin).max(L.maskPxMax).optional(),
	/** Inpainting: pixels inside the mask's border over which the new picture fades in when it is pasted back. */
	maskFeather: z.int().min(L.maskPxMin).max(L.maskPxMax).optional(),
	/** Inpainting: what the mask shows is kept, and the rest repainted. */
	maskInvert: z.boolean().optional(),
	/**
	 * What inpainting starts from under the mask: the picture itself (`original`, default), the colours around the masked area,
	 * or, in place of its latents, noise or zeros (`nothing`).
	 */
	maskFill: MaskFill.optional(),
	/** `weighted`: `(word:1.2)` and `[word]` carry weights and long prompts are read whole. `plain` (default): neither. */
	promptMode: PromptMode.optional(),
	/** SDXL: [height, width] of the picture that the model shall think this was made from. Default: the picture's size. */
	originalSize: pixelPair.optional(),
	/** SDXL: [top, left] of the crop that the model shall think was made. Default: [0, 0]. */
	cropTopLeft: pixelPair.optional(),
	/** SDXL: [height, width] that the model shall aim at. Default: the picture's size. */
	targetSize: pixelPair.optional(),
	/** SD 3: false leaves the third text encoder (T5) out. Default: it reads the prompt where the model has one. */
	useT5: z.boolean().optional(),
	/** `png` (default) is exact. `jpeg` and `webp` are smaller and lose detail. */
	outputFormat: OutputFormat.optional(),
	/** Of JPEG and WebP; 100 = best. */
	outputQuality: z.int().min(L.outputQualityMin).max(L.outputQualityMax).optional(),
	/** A node that gets the job when it would be about as fast as the best one. */
	preferNode: z.string().regex(NODE_ID_PATTERN, 'must be a node id').optional(),
	...jobOrderFields,
});
export type JobRequest = z.infer<typeof JobRequest>;

/** What a job knows of its workflow; the first job of a workflow also knows the others. */
export const WorkflowRef = z.looseObject({
	id: z.string(),
	/** Name of the job within the workflow. */
	key: z.string(),
	name: z.string().optional(),
	members: z.array(z.object({ key: z.string(), job: z.string() })).optional(),
});
export type WorkflowRef = z.infer<typeof WorkflowRef>;

/** A request with every default filled in: what is stored, granted and shown. */
export const JobSpec = z.looseObject({
	/** Absent = GENERAL. */
	taskType: TaskType.optional(),
	task: Operation,
	model: z.string(),
	prompt: z.string(),
	negativePrompt: z.string().nullable(),
	width: z.int(),
	height: z.int(),
	steps: z.int(),
	guidance: z.number(),
	scheduler: z.string(),
	/** Seed of picture 0; picture i uses `taskSeed(seed, i)`. */
	seed: z.int(),
	n: z.int(),
	strength: z.number().optional(),
	eta: z.number().optional(),
	guidanceRescale: z.number().optional(),
	initImage: InputImage.optional(),
	maskImage: InputImage.optional(),
	pasteBack: z.boolean(),
	maskCropPadding: z.int().optional(),
	maskFeather: z.int().optional(),
	maskInvert: z.boolean().optional(),
	maskFill: MaskFill.optional(),
	promptMode: PromptMode.optional(),
	originalSize: pixelPair.optional(),
	cropTopLeft: pixelPair.optional(),
	targetSize: pixelPair.optional(),
	useT5: z.boolean().optional(),
	outputFormat: OutputFormat.optional(),
	outputQuality: z.int().optional(),
	class: z.enum(['interactive', 'batch']),
	priority: z.int(),
	/** Milliseconds since the epoch, on the gateway's clock. */
	deadlineAt: z.int(),
	labels: z.array(z.string()).optional(),
	/** The one node that may do it. */
	nodeId: z.string().optional(),
	preferNode: z.string().optional(),
	params: TaskParams.optional(),
	dependsOn: z.array(z.string()).optional(),
	onDependencyFailure: z.enum(['fail', 'run']).optional(),
	/** Longest chain of dependencies that ends with this job, itself included. */
	depth: z.int().optional(),
	/** The workflow it came with. */
	workflow: WorkflowRef.optional(),
	/** What the content policy remarked on the prompt. */
	flagged: z.array(z.string()).optional(),
});
export type JobSpec = z.infer<typeof JobSpec>;

/** What can be changed of a job that waits. */
export const JobChange = z.strictObject({ priority: z.int().min(L.priorityMin).max(L.priorityMax) });
export type JobChange = z.infer<typeof JobChange>;

/** Seed of picture `index` of a job: consecutive, and wrapping so that it survives JSON. */
export const taskSeed = (seed: number, index: number): number =>
	seed <= L.seedMax - index ? seed + index : index - (L.seedMax - seed) - 1;

/** Whether a job only brings its picture to another size: nothing is drawn at strength 0. */
export const isResize = ({ task, strength }: Pick<JobSpec, 'task' | 'strength'>): boolean => task === 'img2img' && strength === 0;

/** What pictures must have in common to be made in one batch. Prompts, seeds, inputs, pasting and SDXL's sizes may differ. */
const BATCH_FIELDS = [
	'model',
	'task',
	'width',
	'height',
	'steps',
	'guidance',
	'scheduler',
	'strength',
	'eta',
	'guidanceRescale',
	'promptMode',
	'useT5',
] as const satisfies readonly (keyof JobSpec)[];

/** Two pictures can be made in one batch exactly when this text is equal. */
export const batchKey = (spec: JobSpec): string => JSON.stringify(BATCH_FIELDS.map((field) => spec[field] ?? null));

export const FailureClass = z.enum(['invalid', 'oom', 'engine', 'timeout', 'lost', 'poison', 'dependency']);
export type FailureClass = z.infer<typeof FailureClass>;

export const TaskPhase = z.enum(['granted', 'downloading', 'loading', 'encoding', 'denoising', 'decoding', 'uploading', 'orphaned']);
export type TaskPhase = z.infer<typeof TaskPhase>;

/** Who gave what to whom: a job to one that waited for it, or a node to the next one. */
export const Handoff = z.looseObject({
	/** `job:<id>` or `node:<id>` */
	from: z.string(),
	to: z.string(),
	/** Pictures and reports that went along: object keys are left out, indexes are not. */
	artefacts: z.array(z.string()),
	notes: z.string(),
	at: z.int(),
	ok: z.boolean(),
});
export type Handoff = z.infer<typeof Handoff>;

/** One line of a job's history; durable events are exactly these. `rev` counts from 1 and is the SSE id. */
export const HistEntry = z.looseObject({
	rev: z.int(),
	at: z.int(),
	type: z.enum(['queued', 'priority', 'assigned', 'requeued', 'image', 'result', 'handoff', 'succeeded', 'failed', 'canceled', 'expired']),
	/** `key:<id>`, `node:<id>` or `pool`. */
	who: z.string(),
	index: z.int().optional(),
	epoch: z.int().optional(),
	nodeId: z.string().optional(),
	slotId: z.string().optional(),
	from: z.string().optional(),
	to: z.string().optional(),
	reason: z.string().optional(),
	traceId: z.string().optional(),
	/** Of `result`: the JSON report. */
	data: z.record(z.string(), z.unknown()).optional(),
	/** Of `handoff` and of an `assigned` that follows a loss or a failure. */
	handoff: Handoff.optional(),
});
export type HistEntry = z.infer<typeof HistEntry>;

/** An accepted picture as rows keep it. */
export const ImageRecord = z.looseObject({
	index: z.int(),
	key: z.string(),
	epoch: z.int(),
	nodeId: z.string(),
	contentType: z.string(),
	bytes: z.int(),
	sha256: z.string(),
	width: z.int(),
	height: z.int(),
	seed: z.int(),
	at: z.int(),
	/** Timings, device and warnings from the node, at most `BODY_LIMITS.resultMetaBytes` as JSON. */
	meta: z.record(z.string(), z.unknown()).optional(),
	/** What the content policy remarked on it. */
	flagged: z.string().optional(),
	/** The node put it into the bucket itself, so that other objects of the same attempt may lie beside it. */
	direct: z.boolean().optional(),
});
export type ImageRecord = z.infer<typeof ImageRecord>;

export const JobError = z.object({
	class: FailureClass,
	message: z.string(),
	index: z.int().optional(),
	nodeId: z.string().optional(),
});
export type JobError = z.infer<typeof JobError>;

export const Usage = z.object({ images: z.int(), megapixelSteps: z.number() });
export type Usage = z.infer<typeof Usage>;

export const TaskView = z.object({
	index: z.int(),
	state: z.enum(['queued', 'leased', 'succeeded', 'failed', 'canceled', 'expired']),
	phase: TaskPhase.optional(),
	epoch: z.int(),
	seed: z.int(),
	nodeId: z.string().optional(),
	slotId: z.string().optional(),
	step: z.int().optional(),
	steps: z.int().optional(),
	attempts: z.int(),
	/** `<node>/<slot>` that failed or lost it. */
	failedSlotIds: z.array(z.string()).optional(),
	/** From being ready to being granted, the latest time. */
	assignmentLatencyMs: z.int().optional(),
	failures: z.array(z.object({ class: FailureClass, message: z.string(), nodeId: z.string().optional() })),
});
export type TaskView = z.infer<typeof TaskView>;

export const ImageView = z.object({
	id: z.string(),
	index: z.int(),
	seed: z.int(),
	width: z.int(),
	height: z.int(),
	contentType: z.string(),
	bytes: z.int(),
	sha256: z.string(),
	/** Signed; works without a key until `expiresAt`, answers 410 afterwards. */
	url: z.string(),
	expiresAt: z.iso.datetime(),
	nodeId: z.string().optional(),
	meta: z.record(z.string(), z.unknown()).optional(),
	/** What the content policy remarked on it. */
	flagged: z.string().optional(),
});
export type ImageView = z.infer<typeof ImageView>;

export const QueueView = z.object({
	/** 1 = next. */
	position: z.int().optional(),
	etaMs: z.object({ low: z.int(), high: z.int() }).optional(),
	feasible: z.boolean(),
	/** Why it waits, in words. */
	reason: z.string().optional(),
	/** Refusals of candidate slots, counted by reason. */
	refusals: z.record(z.string(), z.int()).optional(),
	/** What would make it possible, most effective first. */
	remedies: z.array(z.string()).optional(),
});
export type QueueView = z.infer<typeof QueueView>;

const JobStateEnum = z.enum(['waiting', 'queued', 'running', 'succeeded', 'failed', 'canceled', 'expired']);

export const JobView = z.object({
	id: z.string(),
	state: JobStateEnum,
	createdAt: z.iso.datetime(),
	startedAt: z.iso.datetime().optional(),
	finishedAt: z.iso.datetime().optional(),
	request: JobSpec,
	images: z.array(ImageView),
	tasks: z.array(TaskView).optional(),
	queue: QueueView.optional(),
	error: JobError.optional(),
	warnings: z.array(z.string()),
	/** What the content policy remarked on the prompt. */
	flagged: z.array(z.string()).optional(),
	usage: Usage.optional(),
	history: z.array(HistEntry),
	retryOf: z.string().optional(),
	traceId: z.string().optional(),
	taskType: TaskType.optional(),
	/** Reports of tasks that make no picture. */
	results: z
		.array(z.object({ index: z.int(), nodeId: z.string(), at: z.iso.datetime(), data: z.record(z.string(), z.unknown()) }))
		.optional(),
	workflow: z.object({ id: z.string(), key: z.string() }).optional(),
	/** Jobs that it waits or waited for; `met` once that is decided. */
	dependsOn: z.array(z.object({ job: z.string(), met: z.boolean().optional() })).optional(),
	links: z.object({ self: z.string(), events: z.string(), cancel: z.string() }),
});
export type JobView = z.infer<typeof JobView>;

/** Events without `id:`: the latest wins, nothing is replayed. */
export type VolatileEvent =
	| { event: 'position'; data: QueueView }
	| { event: 'waiting'; data: { reason: string; refusals?: Record<string, number> } }
	| { event: 'loading'; data: { index: number; nodeId: string; phase: TaskPhase; fraction?: number } }
	| { event: 'progress'; data: ProgressData }
	| { event: 'preview'; data: { index: number; step: number; contentType: string; base64: string } };

export interface ProgressData {
	index: number;
	epoch: number;
	nodeId: string;
	phase: TaskPhase;
	step: number;
	steps: number;
	itPerS?: number;
	etaMs?: number;
}

/** A frame on the Pool → Worker bridge of one watched job. `id` = rev for durable events. */
export interface BridgeFrame {
	event: HistEntry['type'] | VolatileEvent['event'] | 'end';
	id?: number;
	data: unknown;
}
export const TERMINAL_EVENTS: ReadonlySet<string> = new Set(['succeeded', 'failed', 'canceled', 'expired']);

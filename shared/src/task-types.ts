/**
 * What a job asks of a node. GENERAL makes pictures; the others look after the pool: they measure, check, and bring
 * models to where they are needed.
 * @module
 */
import { z } from 'zod';
import { JOB_ID_PATTERN, NODE_ID_PATTERN } from './ids.ts';
import { REQUEST_LIMITS as L, TASK_LIMITS as T, WORKFLOW_LIMITS as W } from './limits.ts';
import { ModelName } from './models.ts';

/**
 * GENERAL = pictures · RESEARCH = benchmark of a model on a slot · INGEST = pull of a model · DISCOVERY = probe of what a
 * node can do · MIGRATION = move of a model between nodes · HEARTBEAT = canary picture, compared with the earlier one.
 */
export const TaskType = z.enum(['GENERAL', 'RESEARCH', 'INGEST', 'DISCOVERY', 'MIGRATION', 'HEARTBEAT']);
export type TaskType = z.infer<typeof TaskType>;

/** Done by the node itself, beside its slots: a download must not keep a device waiting. */
const CHORES: ReadonlySet<TaskType> = new Set(['INGEST', 'DISCOVERY', 'MIGRATION']);
export const isChore = (type: TaskType): boolean => CHORES.has(type);
/** Their result is a JSON document instead of a picture. */
export const makesReport = (type: TaskType): boolean => isChore(type) || type === 'RESEARCH';
/** Name of the place on a node where tasks run that need no device. */
export const CHORE_SLOT = 'agent';
/** They wait while the source of models cannot be reached; the others go on. */
const NEEDS_SOURCE: ReadonlySet<TaskType> = new Set(['DISCOVERY', 'MIGRATION']);
export const needsModelSource = (type: TaskType): boolean => NEEDS_SOURCE.has(type);

/** Parameters of a task that is no picture, as the spec keeps them. */
export const TaskParams = z.looseObject({
	/** `owner/name[@revision]` on the model source. */
	source: z.string().optional(),
	/** What the model is called on the node. */
	name: z.string().optional(),
	/** MIGRATION: the node that has the model now. */
	from: z.string().optional(),
	/** MIGRATION: the model stays on the node that has it. */
	keep: z.boolean().optional(),
	/** RESEARCH: measured runs. */
	repeat: z.int().optional(),
	/** DISCOVERY: also ask whether the model source can be reached. */
	modelSource: z.boolean().optional(),
});
export type TaskParams = z.infer<typeof TaskParams>;

const nodeId = z.string().regex(NODE_ID_PATTERN, 'must be a node id');
const repo = z
	.string()
	.max(L.modelNameChars)
	.regex(/^[\w.-]+(\/[\w.-]+)?(@[\w./-]+)?$/, 'must be owner/name, or owner/name@revision');
const size = z.int().min(L.sizeMinPx).max(L.sizeMaxPx).multipleOf(L.sizeMultiplePx).meta({ multipleOf: L.sizeMultiplePx });

/** Fields of every job about when and after what it runs. */
export const jobOrderFields = {
	class: z.enum(['interactive', 'batch']).optional(),
	priority: z.int().min(L.priorityMin).max(L.priorityMax).optional(),
	/** The job expires when it is not finished this long after it was accepted. */
	deadlineMs: z.int().min(L.deadlineMinMs).max(L.deadlineMaxMs).optional(),
	labels: z
		.array(
			z
				.string()
				.min(1)
				.max(L.labelChars)
				.refine((value) => !value.includes('\u0000'), 'must not contain NUL characters'),
		)
		.max(L.labelsMax)
		.optional(),
	/** Jobs of the same workspace that must end before this one starts. */
	dependsOn: z.array(z.string().regex(JOB_ID_PATTERN, 'must be a job id')).max(W.dependsOnMax).optional(),
	/** What happens when one of them does not succeed: `fail` (default), or `run` all the same. */
	onDependencyFailure: z.enum(['fail', 'run']).optional(),
};

/** RESEARCH: times steps of a model on one slot; the report says s/step. */
export const ResearchRequest = z.strictObject({
	taskType: z.literal('RESEARCH'),
	model: ModelName.optional(),
	steps: z.int().min(L.stepsMin).max(L.stepsMax).optional(),
	width: size.optional(),
	height: size.optional(),
	/** Measured runs after one that loads the model. */
	repeat: z.int().min(1).max(T.repeatMax).optional(),
	nodeId: nodeId.optional(),
	...jobOrderFields,
});
/** INGEST: a node pulls a model from the model source. */
export const IngestRequest = z.strictObject({
	taskType: z.literal('INGEST'),
	source: repo,
	/** What to call it there; the repository's name by default. */
	name: ModelName.optional(),
	nodeId: nodeId.optional(),
	...jobOrderFields,
});
/** DISCOVERY: a node looks at itself and reports: runtime, devices, disk, models, model source. */
export const DiscoveryRequest = z.strictObject({
	taskType: z.literal('DISCOVERY'),
	nodeId: nodeId.optional(),
	modelSource: z.boolean().optional(),
	...jobOrderFields,
});
/** MIGRATION: a model moves from one node to another. */
export const MigrationRequest = z.strictObject({
	taskType: z.literal('MIGRATION'),
	model: ModelName,
	from: nodeId,
	to: nodeId,
	keep: z.boolean().optional(),
	...jobOrderFields,
});
/** HEARTBEAT: a small fixed picture whose hash is compared with the earlier one of that node and model. */
export const HeartbeatRequest = z.strictObject({
	taskType: z.literal('HEARTBEAT'),
	model: ModelName.optional(),
	nodeId: nodeId.optional(),
	...jobOrderFields,
});

export type ResearchRequest = z.infer<typeof ResearchRequest>;
export type IngestRequest = z.infer<typeof IngestRequest>;
export type DiscoveryRequest = z.infer<typeof DiscoveryRequest>;
export type MigrationRequest = z.infer<typeof MigrationRequest>;
export type HeartbeatRequest = z.infer<typeof HeartbeatRequest>;
/** A job that looks after the pool instead of making pictures for somebody. */
export type CareRequest = ResearchRequest | IngestRequest | DiscoveryRequest | MigrationRequest | HeartbeatRequest;

/** The canary picture: the same everywhere, small, and quick. */
export const CANARY = { prompt: 'a red lighthouse on a cliff', seed: 20_260_101, steps: 4 } as const;

/**
 * Workflows: a graph of jobs that is submitted at once. Jobs name each other by keys of their own choice.
 * @module
 */
import { z } from 'zod';
import { ASSET_ID_PATTERN, JOB_ID_PATTERN } from './ids.ts';
import { JobRequest, JobView } from './jobs.ts';
import { REQUEST_LIMITS as L, WORKFLOW_LIMITS as W } from './limits.ts';
import { DiscoveryRequest, HeartbeatRequest, IngestRequest, MigrationRequest, ResearchRequest } from './task-types.ts';

export const WORKFLOW_ID_PATTERN = /^wf_[0-9a-z]{28}$/;
/** The workflow whose first job this is. */
export const workflowIdOf = (jobId: string): string => `wf_${jobId.slice(4)}`;
export const firstJobOf = (workflowId: string): string => `job_${workflowId.slice(3)}`;

/** Body of `POST /api/v1/jobs`: pictures, or one of the tasks that look after the pool. */
export const AnyJobRequest = z.discriminatedUnion('taskType', [
	JobRequest,
	ResearchRequest,
	IngestRequest,
	DiscoveryRequest,
	MigrationRequest,
	HeartbeatRequest,
]);
export type AnyJobRequest = z.infer<typeof AnyJobRequest>;

const key = z
	.string()
	.min(1)
	.max(W.keyChars)
	.regex(/^[\w.-]+$/, 'letters, digits and . _ - only')
	.refine((value) => !JOB_ID_PATTERN.test(value), 'must not look like a job id');
const reference = z.string().min(1).max(W.keyChars);
const index = z
	.int()
	.min(0)
	.max(L.nMax - 1)
	.default(0);

/** A picture of another job of the workflow, by its key, besides what any job may start from. */
const WorkflowImage = z.union([
	z.strictObject({ asset: z.string().regex(ASSET_ID_PATTERN, 'must be an asset id') }),
	z.strictObject({ job: reference, index }),
]);

const member = { key, dependsOn: z.array(reference).max(W.dependsOnMax).optional() };

/** One job of a workflow. `dependsOn` and `{job}` take keys of this workflow or ids of jobs that exist. */
export const WorkflowJob = z.discriminatedUnion('taskType', [
	JobRequest.extend({ ...member, initImage: WorkflowImage.optional(), maskImage: WorkflowImage.optional() }),
	ResearchRequest.extend(member),
	IngestRequest.extend(member),
	DiscoveryRequest.extend(member),
	MigrationRequest.extend(member),
	HeartbeatRequest.extend(member),
]);
export type WorkflowJob = z.infer<typeof WorkflowJob>;

/** Body of `POST /api/v1/workflows`. */
export const WorkflowRequest = z.strictObject({
	name: z.string().min(1).max(W.nameChars).optional(),
	/** For members that do not say themselves. */
	onDependencyFailure: z.enum(['fail', 'run']).optional(),
	jobs: z.array(WorkflowJob).min(1).max(W.jobsMax),
});
export type WorkflowRequest = z.infer<typeof WorkflowRequest>;

export const WorkflowState = z.enum(['running', 'succeeded', 'failed', 'canceled']);
export type WorkflowState = z.infer<typeof WorkflowState>;

export const WorkflowView = z.object({
	id: z.string(),
	name: z.string().optional(),
	/** running until every job has ended; then the worst end of all. */
	state: WorkflowState,
	createdAt: z.iso.datetime(),
	finishedAt: z.iso.datetime().optional(),
	jobs: z.array(JobView.extend({ key: z.string() })),
	/** Dependencies that were met with success, of those that were decided. */
	handoffs: z.object({ decided: z.int(), succeeded: z.int(), successRate: z.number().optional() }),
	links: z.object({ self: z.string(), events: z.string(), cancel: z.string() }),
});
export type WorkflowView = z.infer<typeof WorkflowView>;

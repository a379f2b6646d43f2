/**
 * Names for the types that the OpenAPI document declares.
 * @module
 */
import type { components, operations } from './schema.ts';

type Schemas = components['schemas'];

/** Body of a generation. Everything but the prompt has a default that comes from the model. */
export type JobRequest = Schemas['JobRequest'];
export type Job = Schemas['Job'];
export type JobState = Job['state'];
/** A picture of a job, with a signed URL that works without a key until `expiresAt`. */
export type JobImage = Job['images'][number];
/** A picture in the gallery: with its prompt, model and job. */
export type GalleryImage = Schemas['GalleryImage'];
export type ImageMetadata = Schemas['ImageMetadata'];
export type Asset = Schemas['Asset'];
export type Model = Schemas['Model'];
export type Scheduler = Schemas['Scheduler'];
/** A machine that makes pictures. */
export type Node = Schemas['Worker'];
export type NodeStatus = NonNullable<NonNullable<operations['listWorkers']['parameters']['query']>['status']>;
export type PoolMetrics = Schemas['PoolMetrics'];
export type Usage = Schemas['ResourceUsage'];
export type ProblemDetails = Schemas['Problem'];

export interface Page<T> {
	data: T[];
	/** Give it as `cursor` to get the next page; `null` on the last one. */
	nextCursor: string | null;
}

export interface PageQuery {
	/** 1..200, default 50. */
	limit?: number;
	cursor?: string;
}

/** States in which a job stays for ever. */
export const TERMINAL_STATES: ReadonlySet<string> = new Set(['succeeded', 'failed', 'canceled', 'expired']);
export const isTerminal = (state: JobState): boolean => TERMINAL_STATES.has(state);

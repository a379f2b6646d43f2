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
export type Quotas = Schemas['Quotas'];
export type Quota = Quotas['windows'][number];
export type UsagePoint = Usage['series'][number];
export type Reservation = Schemas['Reservation'];
export type Telemetry = Schemas['WorkerTelemetry'];
export type NodeTask = Schemas['WorkerTask'];
export type NodeHistoryEntry = Schemas['WorkerHistoryEntry'];
export type NodeMetrics = Schemas['WorkerMetrics'];
/** What a slot worked on, for a Gantt chart. */
export type TimelineSpan = Schemas['TimelineSpan'];
export type Dashboard = Schemas['Dashboard'];
export type Presence = Schemas['Presence'];
export type Alert = Schemas['Alert'];
/** What holds (`effective`), and what of it the workspace has set itself (`own`). */
export type AlertRules = Schemas['AlertRulesView'];
export type AlertRulesChange = Schemas['AlertRulesChange'];
export type Report = Schemas['Report'];
export type Takedown = Schemas['Takedown'];
export type AuditEvent = Schemas['AuditEvent'];
export type ApiKey = Schemas['ApiKeyInfo'];
/** With the text of the key, which is shown once. */
export type NewApiKey = Schemas['NewApiKey'];
type KeyFields = Schemas['ApiKeyRequest'];
/** Without an end, models or limits it has none. */
export type ApiKeyRequest = Pick<KeyFields, 'name' | 'scopes'> & Partial<KeyFields>;
export type Scope = KeyFields['scopes'][number];
export type Webhook = Schemas['Webhook'];
/** With the secret, which is shown once. */
export type NewWebhook = Schemas['WebhookWithSecret'];
export type WebhookDelivery = Schemas['WebhookDelivery'];
export type Member = Schemas['Member'];
export type Role = Member['role'];
export type Invitation = Schemas['Invitation'];
/** With its link, which is shown once. */
export type NewInvitation = Schemas['NewInvitation'];
export type JoinToken = Schemas['JoinToken'];
/** With the token itself, which is shown once. */
export type NewJoinToken = Schemas['NewJoinToken'];
export type Workspace = Schemas['Workspace'];
export type WorkspaceEntry = Schemas['WorkspaceEntry'];
export type WorkspaceLimits = Schemas['WorkspaceLimits'];
/** Who the credential belongs to, and what it may do. */
export type Caller = Schemas['Caller'];
export type ProblemDetails = Schemas['Problem'];
/** Jobs that wait for each other. */
export type Workflow = Schemas['Workflow'];
export type WorkflowRequest = Schemas['WorkflowRequest'];
export type WorkflowJob = Workflow['jobs'][number];
export type AccessToken = Schemas['AccessToken'];
export type Account = Schemas['Account'];
export type AccountWithWorkspaces = Schemas['AccountWithWorkspaces'];
export type InvitationPreview = Schemas['InvitationPreview'];
export type JoinedWorkspace = Schemas['JoinedWorkspace'];
/** A place where an account is signed in. */
export type Session = Schemas['Session'];

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

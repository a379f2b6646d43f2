/**
 * Client of a Limner gateway.
 * @module
 */
export { type SignIn } from './accounts.ts';
export { type PictureBytes } from './assets.ts';
export { Limner } from './client.ts';
export { ApiError, ConnectionError, JobFailedError, LimnerError } from './errors.ts';
export { type AuditQuery } from './audit.ts';
export { type DashboardEvent } from './dashboard.ts';
export { type EventsOptions, type JobEvent, type JobEventName } from './events.ts';
export { type JoinTokenRequest } from './fleet.ts';
export { type CallOptions, type ClientOptions, type RequestOptions } from './http.ts';
export { type GenerateOptions, type GenerateRequest, type Generation, type InputPicture, type Preview } from './images.ts';
export { type SubmitOptions } from './jobs.ts';
export { type ReservationRequest, type UsageQuery } from './resources.ts';
export { type WebhookRequest } from './webhooks.ts';
export { initialProgress, reduceProgress, type Progress } from './progress.ts';
export { isTerminal } from './types.ts';
export type * from './types.ts';
export type { components, operations, paths } from './schema.ts';

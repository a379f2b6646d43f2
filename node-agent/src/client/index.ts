/**
 * Everything that the CLI needs to talk to a gateway.
 * @module
 */
export { call, callRaw, GatewayError, gatewayUrl, UnreachableError } from './http.ts';
export { cancelJob, downloadImage, getJob, submitJob, uploadAsset, type SubmitOptions } from './jobs.ts';
export { followJob, type FollowOptions, type JobEvent } from './follow.ts';
export { createProgressLine, type ProgressLine, type ProgressLineOptions } from './progress-line.ts';
export { initialProgress, phaseTimes, reduceProgress, type JobProgress } from './progress.ts';

/**
 * Equal calls are one job: hosts call again what they gave up on, and nobody wants the picture twice. Pure.
 * @module
 */
import { MCP_LIMITS, type JobView } from '@limner/shared';

const FAILED: ReadonlySet<string> = new Set(['failed', 'canceled', 'expired']);

/** Label of the jobs of equal calls. */
export const labelOf = (digestHex: string): string => `mcp:${digestHex.slice(0, 24)}`;

export interface Repeat {
	/** The job of an equal call, when there is one worth answering. */
	job?: JobView;
	/** Equal calls that came to nothing: the next one must not be taken for theirs. */
	failures: number;
}

/**
 * What became of equal calls within the window.
 * @param recent jobs, newest first
 */
export const findRepeat = (recent: readonly JobView[], label: string, nowMs: number): Repeat => {
	const equal = recent.filter(
		(job) => job.request.labels?.includes(label) === true && nowMs - Date.parse(job.createdAt) < MCP_LIMITS.repeatWindowMs,
	);
	const job = equal.find(({ state }) => !FAILED.has(state));
	return { ...(job === undefined ? {} : { job }), failures: equal.filter(({ state }) => FAILED.has(state)).length };
};

/**
 * Idempotency key of a call: calls that arrive at the same moment, before either can see the other's job, meet here.
 */
export const idempotencyKeyOf = (label: string, failures: number, nowMs: number): string =>
	`${label}:${Math.floor(nowMs / MCP_LIMITS.repeatWindowMs)}:${failures}`;

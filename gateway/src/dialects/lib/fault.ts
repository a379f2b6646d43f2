/**
 * Anything that went wrong, as all dialects need it before each says it in its own way.
 * @module
 */
import type { JobError } from '@limner/shared';
import { describeError } from '../../lib/log.ts';
import type { AppContext } from '../../lib/context.ts';
import { normalise, problemBody } from '../../lib/problem.ts';

/** A job ended without its pictures. Thrown by `runJob`. */
export class JobEnded extends Error {
	override readonly name = 'JobEnded';
	readonly jobId: string;
	readonly state: string;
	readonly failure: JobError | undefined;
	constructor(jobId: string, state: string, failure: JobError | undefined) {
		super(failure?.message ?? `the job ${jobId} was ${state === 'failed' ? 'not finished: it failed' : state}`);
		this.jobId = jobId;
		this.state = state;
		this.failure = failure;
	}
}

export interface Fault {
	status: number;
	code: string;
	message: string;
	/** Name of the field at fault, without slashes. */
	field?: string;
	retryAfterS?: number;
}

/** 4xx only where the caller can mend it by sending something else. */
const statusOfJob = (error: JobEnded): number => {
	if (error.failure?.class === 'invalid') return 400;
	if (error.state === 'canceled') return 409;
	return error.state === 'expired' ? 503 : 500;
};

const fieldOf = (pointer: string | undefined): string | undefined => pointer?.replace(/^#?\/(?:query\/|form\/|param\/)?/, '').split('/')[0];

/** A thrown thing as a fault. Unknown errors show nothing of themselves. Pure. */
export const faultOf = (thrown: unknown, requestId: string): Fault => {
	if (thrown instanceof JobEnded) {
		const code = thrown.failure === undefined ? `job_${thrown.state}` : `job_${thrown.failure.class}`;
		return { status: statusOfJob(thrown), code, message: thrown.message };
	}
	const error = normalise(thrown);
	const body = problemBody(error, '', requestId);
	const field = fieldOf(error.errors?.[0]?.pointer);
	return {
		status: error.status,
		code: error.code,
		message: body.detail ?? body.title,
		...(field === undefined || field === '' ? {} : { field }),
		...(body.retryAfter === undefined ? {} : { retryAfterS: Math.ceil(body.retryAfter) }),
	};
};

/** Logs a fault that is ours. */
export const logFault = (c: AppContext, thrown: unknown, fault: Fault): void => {
	if (fault.status >= 500) c.get('log').error('request failed', { code: fault.code, ...describeError(thrown) });
};

/** The answer of a dialect to a fault: its own body, and the headers that any client may use. */
export const faultResponse = (fault: Fault, body: unknown, headers: Record<string, string> = {}): Response =>
	Response.json(body, {
		status: fault.status,
		headers: {
			...(fault.retryAfterS === undefined ? {} : { 'retry-after': String(fault.retryAfterS) }),
			...(fault.status === 401 ? { 'www-authenticate': 'Bearer realm="limner"' } : {}),
			...headers,
		},
	});

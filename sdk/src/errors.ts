/**
 * What calls throw.
 * @module
 */
import type { Job, ProblemDetails } from './types.ts';

/** Base of everything that this library throws by itself. An aborted call throws the signal's reason instead. */
export class LimnerError extends Error {
	override name = 'LimnerError';
}

/** The gateway refused: a problem document of RFC 9457. */
export class ApiError extends LimnerError {
	override name = 'ApiError';
	readonly status: number;
	/** Stable name of the problem, such as `queue_full`; `unknown` when something else than a gateway answered. */
	readonly code: string;
	/** Fields that are wrong, by JSON Pointer. */
	readonly errors: NonNullable<ProblemDetails['errors']>;
	/** Quote it when you ask the gateway's operator. */
	readonly requestId: string | undefined;
	/** Seconds after which a repeat makes sense. */
	readonly retryAfterS: number | undefined;
	readonly problem: ProblemDetails | undefined;
	constructor(message: string, status: number, problem: ProblemDetails | undefined, headers: Headers) {
		super(message);
		this.status = status;
		this.problem = problem;
		this.code = problem?.code ?? 'unknown';
		this.errors = problem?.errors ?? [];
		this.requestId = problem?.requestId ?? headers.get('x-request-id') ?? undefined;
		this.retryAfterS = problem?.retryAfter ?? retryAfterOf(headers);
	}
}

/** No answer: the gateway is down, the address is wrong, or the network is away. */
export class ConnectionError extends LimnerError {
	override name = 'ConnectionError';
}

/** The job ended without being a success: `failed`, `canceled` or `expired`. Pictures that were made are in `job.images`. */
export class JobFailedError extends LimnerError {
	override name = 'JobFailedError';
	readonly job: Job;
	constructor(job: Job) {
		super(job.error?.message ?? `the job ${job.id} ${job.state === 'canceled' ? 'was canceled' : job.state}`);
		this.job = job;
	}
}

const retryAfterOf = (headers: Headers): number | undefined => {
	const seconds = Number(headers.get('retry-after') ?? Number.NaN);
	return Number.isFinite(seconds) ? seconds : undefined;
};

const asProblem = (text: string): ProblemDetails | undefined => {
	try {
		const value: unknown = JSON.parse(text);
		if (typeof value === 'object' && value !== null && 'code' in value && 'title' in value) return value as ProblemDetails;
	} catch {
		// A proxy's page, not a problem document.
	}
	return undefined;
};

/** The error of an answer with an error status. */
export const apiErrorOf = async (response: Response): Promise<ApiError> => {
	const problem = asProblem(await response.text().catch(() => ''));
	const told = problem?.detail ?? problem?.title ?? `the gateway answered ${response.status} ${response.statusText}`.trim();
	const fields = (problem?.errors ?? []).map(({ pointer, detail }) => `${pointer}: ${detail}`).filter((field) => !told.includes(field));
	const message = fields.length === 0 ? told : `${told} (${fields.join('; ')})`;
	return new ApiError(message, response.status, problem, response.headers);
};

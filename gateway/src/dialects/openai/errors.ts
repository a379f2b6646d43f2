/**
 * Faults in OpenAI's words. Pure.
 * @module
 */
import { faultResponse, type Fault } from '../lib/fault.ts';

interface Said {
	status: number;
	type: string;
	code: string | null;
}

const BY_CODE: Readonly<Record<string, Said>> = {
	unauthorized: { status: 401, type: 'invalid_request_error', code: 'invalid_api_key' },
	forbidden: { status: 403, type: 'invalid_request_error', code: 'insufficient_permissions' },
	model_unknown: { status: 404, type: 'invalid_request_error', code: 'model_not_found' },
	rate_limited: { status: 429, type: 'requests', code: 'rate_limit_exceeded' },
	queue_full: { status: 429, type: 'requests', code: 'rate_limit_exceeded' },
	quota_exceeded: { status: 429, type: 'insufficient_quota', code: 'insufficient_quota' },
	content_refused: { status: 400, type: 'invalid_request_error', code: 'content_policy_violation' },
	validation_failed: { status: 400, type: 'invalid_request_error', code: 'invalid_value' },
	// Not 409, which SDKs answer with another try.
	job_canceled: { status: 400, type: 'invalid_request_error', code: 'job_canceled' },
};

/** Status, type and code for a fault. */
export const saidOf = (fault: Fault): Said => {
	const unknown = fault.code === 'validation_failed' && fault.message.endsWith('is not a known field');
	if (unknown) return { status: 400, type: 'invalid_request_error', code: 'unknown_parameter' };
	const said = BY_CODE[fault.code];
	if (said !== undefined) return said;
	if (fault.status >= 500) return { status: fault.status, type: 'server_error', code: fault.code };
	return { status: fault.status, type: 'invalid_request_error', code: fault.code };
};

export const errorBody = (fault: Fault) => {
	const { type, code } = saidOf(fault);
	return { error: { message: fault.message, type, param: fault.field ?? null, code } };
};

/** A refusal as OpenAI's SDKs understand it. They do not repeat what the pool has already tried on several nodes. */
export const errorResponse = (fault: Fault): Response =>
	faultResponse(
		{ ...fault, status: saidOf(fault).status },
		errorBody(fault),
		fault.code.startsWith('job_') ? { 'x-should-retry': 'false' } : {},
	);

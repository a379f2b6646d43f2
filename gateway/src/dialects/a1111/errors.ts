/**
 * Faults as FastAPI tells them.
 * @module
 */
import type { z } from 'zod';
import type { AppContext } from '../../lib/context.ts';
import { jsonResponse } from '../../lib/openapi.ts';
import { faultOf, faultResponse, logFault, type Fault } from '../lib/fault.ts';
import { A1111Error } from './schema.ts';

/** The refusals that every route of this dialect can answer, for its description. */
export const refusals = Object.fromEntries(
	([400, 401, 403, 413, 415, 422, 429, 500, 503] as const).map((status) => [status, jsonResponse(A1111Error, 'Refused')]),
) as Record<400 | 401 | 403 | 413 | 415 | 422 | 429 | 500 | 503, ReturnType<typeof jsonResponse<typeof A1111Error>>>;

/** The body: a list of fields for a value that is not allowed, else a sentence. */
export const errorBody = (fault: Fault): z.infer<typeof A1111Error> => {
	if (fault.status === 422) return { detail: [{ loc: ['body', fault.field ?? ''], msg: fault.message, type: fault.code }] };
	return { error: fault.code, detail: fault.message, errors: fault.message };
};

const errorResponse = (fault: Fault): Response =>
	// Browsers and clients ask for user and password when they are told that these are taken.
	faultResponse(fault, errorBody(fault), fault.status === 401 ? { 'www-authenticate': 'Basic realm="limner"' } : {});

/** A thrown thing as FastAPI's answer. */
export const refuse = (c: AppContext, thrown: unknown): Response => {
	const fault = faultOf(thrown, c.get('requestId'));
	logFault(c, thrown, fault);
	return errorResponse(fault);
};

import { JobRequest, LimnerError } from '@limner/shared';
import { HTTPException } from 'hono/http-exception';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { fieldErrors, normalise, problemBody, validationError } from './problem.ts';

const errorsOf = (body: unknown): { pointer: string; code?: string | undefined }[] => {
	const parsed = JobRequest.safeParse(body);
	return parsed.success ? [] : fieldErrors(parsed.error).map(({ pointer, code }) => ({ pointer, code }));
};

describe('fieldErrors', () => {
	it('points at the field', () => {
		expect(errorsOf({ prompt: 'a', steps: '20' })).toEqual([{ pointer: '/steps', code: 'invalid_type' }]);
		expect(errorsOf({ prompt: 'a', labels: ['ok', 5] })).toEqual([{ pointer: '/labels/1', code: 'invalid_type' }]);
		expect(errorsOf(5)).toEqual([{ pointer: '', code: 'invalid_type' }]);
	});
	it('names unknown keys one by one', () => {
		expect(errorsOf({ prompt: 'a', stepz: 1, 'a/b~c': 2 })).toEqual([
			{ pointer: '/stepz', code: 'unknown_field' },
			{ pointer: '/a~1b~0c', code: 'unknown_field' },
		]);
	});
	it('says one thing about a field', () => {
		expect(errorsOf({ prompt: 'a', seed: 2 ** 53 }).map((error) => error.pointer)).toEqual(['/seed']);
	});
	it('explains the branch of a union that was meant', () => {
		expect(errorsOf({ prompt: 'a', initImage: { asset: 'nope' } }).map((error) => error.pointer)).toEqual(['/initImage/asset']);
		expect(errorsOf({ prompt: 'a', initImage: { job: 'nope', index: 99 } }).map((error) => error.pointer)).toEqual([
			'/initImage/job',
			'/initImage/index',
		]);
	});
	it('names the part of the request when it is not the body', () => {
		const parsed = z.object({ limit: z.number() }).safeParse({ limit: 'x' });
		expect(fieldErrors(parsed.error!, 'query')[0]?.pointer).toBe('#/query/limit');
	});
});

describe('normalise', () => {
	it.each([
		[new LimnerError('gone'), 'gone'],
		[new HTTPException(415), 'unsupported_media_type'],
		[new HTTPException(418), 'internal'],
		[Object.assign(new Error('x'), { overloaded: true, retryable: true }), 'overloaded'],
		[Object.assign(new Error('x'), { retryable: true }), 'retry_later'],
		[new Error('secret detail'), 'internal'],
		['thrown text', 'internal'],
		[null, 'internal'],
	])('%s', (thrown, code) => {
		expect(normalise(thrown).code).toBe(code);
	});
	it('shows nothing of an unknown error', () => {
		const body = problemBody(normalise(new Error('secret detail')), 'urn:x', 'r1');
		expect(JSON.stringify(body)).not.toContain('secret');
		expect(body).toMatchObject({ status: 500, code: 'internal', requestId: 'r1' });
	});
});

describe('problemBody', () => {
	it('carries detail, errors and when to come back', () => {
		const error = validationError([{ pointer: '/steps', detail: 'too many' }]);
		expect(problemBody(error, 'urn:x', 'r')).toMatchObject({
			status: 422,
			detail: '/steps: too many',
			errors: [{ pointer: '/steps', detail: 'too many' }],
		});
		expect(problemBody(new LimnerError('queue_full'), 'urn:x', 'r').retryAfter).toBe(1);
		expect(problemBody(new LimnerError('rate_limited', { retryAfterS: 60 }), 'urn:x', 'r').retryAfter).toBe(60);
		expect(problemBody(new LimnerError('not_found'), 'urn:x', 'r')).not.toHaveProperty('detail');
	});
});

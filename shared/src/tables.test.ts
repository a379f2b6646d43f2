import { describe, expect, it } from 'vitest';
import { FieldError, LimnerError, ProblemDetails, PROBLEMS, type ProblemCode, refuse, statusOf, toError } from './errors.ts';
import { resolveScheduler, SCHEDULER_NAMES, SCHEDULERS } from './schedulers.ts';
import {
	DashboardTicket,
	NodeCertificate,
	OAuthClientTicket,
	OAuthConsentTicket,
	OAuthRequestTicket,
	ObjectTicket,
	ResultTicket,
	StreamTicket,
} from './tickets.ts';

describe('errors', () => {
	const codes = Object.keys(PROBLEMS) as ProblemCode[];

	it.each(codes.map((code) => [code]))('%s has a client or server error status and words of its own', (code) => {
		const [status, title] = PROBLEMS[code];
		expect(status).toBeGreaterThanOrEqual(400);
		expect(status).toBeLessThan(600);
		expect(statusOf(code)).toBe(status);
		expect(code).toMatch(/^[a-z]+(_[a-z]+)*$/);
		expect(title.length).toBeGreaterThan(10);
		expect(codes.filter((other) => PROBLEMS[other][1] === title)).toEqual([code]);
	});

	it('statuses that clients act on stay what they are', () => {
		const known = ['unauthorized', 'forbidden', 'not_found', 'stale', 'gone', 'validation_failed', 'queue_full', 'retry_later'] as const;
		expect(known.map(statusOf)).toEqual([401, 403, 404, 409, 410, 422, 429, 503]);
	});

	it('a refusal survives a structured clone and becomes the same error at the edge', () => {
		for (const code of codes) {
			const errors = [FieldError.parse({ pointer: '/width', detail: 'too large' })];
			const refusal = structuredClone(refuse(code, 'because', { errors, retryAfterS: 3 }));
			expect(refusal).toEqual({ ok: false, code, detail: 'because', errors, retryAfterS: 3 });
			const error = toError(refusal);
			expect(error).toBeInstanceOf(LimnerError);
			expect(error).toMatchObject({ name: 'LimnerError', code, status: statusOf(code), message: 'because', errors, retryAfterS: 3 });
		}
	});

	it('a bare refusal has no empty fields, and the title for words', () => {
		expect(refuse('gone')).toEqual({ ok: false, code: 'gone' });
		expect(Object.keys(refuse('gone'))).toEqual(['ok', 'code']);
		const error = toError(refuse('gone'));
		expect(error.message).toBe(PROBLEMS.gone[1]);
		expect(error.errors).toBeUndefined();
		expect(error.retryAfterS).toBeUndefined();
	});

	it('keeps its cause', () => {
		const cause = new Error('disk');
		expect(new LimnerError('internal', { cause }).cause).toBe(cause);
	});

	it('problem details read back', () => {
		const problem = {
			type: 'about:blank',
			title: 'x',
			status: 422,
			code: 'validation_failed',
			errors: [{ pointer: '/n', detail: 'too many' }],
		};
		expect(ProblemDetails.parse(problem)).toEqual(problem);
		expect(ProblemDetails.safeParse({ ...problem, status: 422.5 }).success).toBe(false);
	});
});

describe('schedulers', () => {
	it('resolve by name, label and alias, whatever the case and separators; no two collide', () => {
		for (const name of SCHEDULER_NAMES) {
			for (const alias of [name, SCHEDULERS[name].label, ...SCHEDULERS[name].aliases]) {
				const spellings = [
					alias,
					alias.toUpperCase(),
					alias.toLowerCase(),
					alias.replaceAll(' ', '_'),
					alias.replaceAll('_', '-'),
					alias.replaceAll(' ', '  '),
				];
				expect(spellings.filter((spelling) => resolveScheduler(spelling) !== name)).toEqual([]);
			}
		}
	});

	it('are those of the engine', () => {
		expect(SCHEDULER_NAMES).toEqual(
			'ddim ddpm pndm euler euler_karras euler_a heun lms dpmpp_2m dpmpp_2m_karras dpmpp_2m_sde dpmpp_2m_sde_karras euler_exponential euler_beta dpmpp_2m_exponential dpmpp_2m_beta unipc lcm flow_euler'.split(
				' ',
			),
		);
	});

	it('unknown names are unknown', () => {
		const names = ['', ' ', 'eule', 'euler_b', '__proto__', 'constructor', 'toString'];
		expect(names.filter((name) => resolveScheduler(name) !== undefined)).toEqual([]);
	});
});

describe('signed claims', () => {
	const asked = { client: 'c', name: 'Chat', redirect: 'https://c.example/', state: '', challenge: 'x', resource: 'r', scopes: [], exp: 1 };
	const claims = [
		[OAuthClientTicket, { k: 'oauth-client', name: 'Chat', redirects: ['https://c.example/'], exp: 1 }],
		[OAuthRequestTicket, { k: 'oauth-request', ...asked }],
		[OAuthConsentTicket, { k: 'oauth-consent', ...asked, account: 'acct_x' }],
		[ResultTicket, { k: 'result', ws: 'main', job: 'job_x', i: 0, e: 1, node: 'node_x', w: 128, h: 128, s: 7, ct: 'image/png', exp: 1 }],
		[NodeCertificate, { k: 'node', node: 'node_x', key: 'AA', ws: 'main', trust: 'own', shard: 0, name: 'attic-pc', exp: 1 }],
		[ObjectTicket, { k: 'object', ws: 'main', key: 'w/main/x', ct: 'image/png', exp: 1 }],
		[StreamTicket, { k: 'stream', ws: 'main', job: 'job_x', exp: 1 }],
		[DashboardTicket, { k: 'dashboard', ws: 'main', exp: 1 }],
	] as const;

	it('read back, need every field, and are never taken for each other', () => {
		for (const [schema, claim] of claims) {
			expect(schema.parse(JSON.parse(JSON.stringify(claim)))).toEqual(claim);
			const optional = Object.keys(claim).filter((field) => {
				const { [field]: _removed, ...rest } = claim as Record<string, unknown>;
				return schema.safeParse(rest).success;
			});
			expect(optional).toEqual([]);
			expect(claims.filter(([, other]) => schema.safeParse(other).success).map(([, other]) => other)).toEqual([claim]);
		}
	});
});

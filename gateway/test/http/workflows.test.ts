/** Workflows whose parts name what is not there: refused with a pointer, and nothing of them is kept. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, newTenant } from '../tenancy/harness.ts';
import { call, cleanUp, countRows, problemOf, submit } from './harness.ts';

const NOBODY = `job_${'0'.repeat(28)}`;
let open = '';
let foreign = '';
let ended = '';
beforeAll(async () => {
	open = (await submit()).id;
	ended = (await submit()).id;
	await call(`/api/v1/jobs/${ended}/cancel`, { method: 'POST' });
	const other = await newTenant();
	foreign = (await ask('POST', '/jobs', other.token, { prompt: 'a secret castle' })).body.id;
});
afterAll(cleanUp);

const fox = { key: 'fox', prompt: 'a fox' };
const from = (job: () => string, index = 0) => ({
	key: 'next',
	prompt: 'a fox at night',
	get initImage() {
		return { job: job(), index };
	},
});

describe('a workflow', () => {
	it.each<[string, () => object[], string[]]>([
		['a picture of an unknown key', () => [fox, from(() => 'wolf')], ['/jobs/1/initImage/job']],
		['a picture of an unknown job', () => [fox, from(() => NOBODY)], ['/jobs/1/initImage/job']],
		['a picture of a job of another workspace', () => [fox, from(() => foreign)], ['/jobs/1/initImage/job']],
		['a picture of a job that is not ready', () => [fox, from(() => open)], ['/jobs/1/initImage/job']],
		['a picture of a job that made none', () => [fox, from(() => ended)], ['/jobs/1/initImage/index']],
		['a picture past the last one', () => [fox, from(() => 'fox', 1)], ['/jobs/1/initImage/index']],
		['an unknown asset', () => [{ ...fox, initImage: { asset: `asset_${'0'.repeat(26)}` } }], ['/jobs/0/initImage/asset']],
		[
			'an unknown mask',
			() => [fox, { ...from(() => 'fox'), task: 'inpaint', initImage: { job: 'fox', index: 0 }, maskImage: { job: NOBODY, index: 0 } }],
			['/jobs/1/maskImage/job'],
		],
		['an unknown key that it waits for', () => [fox, { key: 'next', prompt: 'x', dependsOn: ['fox', 'wolf'] }], ['/jobs/1/dependsOn/1']],
		['a job of another workspace that it waits for', () => [{ ...fox, dependsOn: [foreign] }], ['/jobs/0/dependsOn/0']],
	])('that names %s is refused whole', async (_what, jobs, pointers) => {
		const before = await countRows('jobs');
		const refused = await call('/api/v1/workflows', { json: { jobs: jobs() } });
		const problem = await problemOf(refused);
		expect([refused.status, problem.code, problem.errors?.map(({ pointer }) => pointer)]).toEqual([422, 'validation_failed', pointers]);
		expect(JSON.stringify(problem)).not.toContain('secret castle');
		expect(await countRows('jobs')).toBe(before);
	});

	it('whose parts are all there is taken', async () => {
		const taken = await call('/api/v1/workflows', { json: { jobs: [fox, from(() => 'fox')] } });
		expect(taken.status).toBe(202);
	});
});

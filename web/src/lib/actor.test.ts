import { describe, expect, it } from 'vitest';
import { nameOfActor, nameOfTarget, shortId, type Names } from './actor.ts';

const NAMES: Names = {
	keys: [
		{ id: 'k1', name: 'Nightly batch' },
		{ id: 'first', name: '' },
	],
	members: [{ accountId: 'acct_1', name: 'Ada' }],
	nodes: [{ id: 'node_1', name: 'garage' }],
	nameless: 'First key',
};
const JOB = 'job_01m7zw6q4denf9f2tvp54n4hyw00';

describe('names instead of ids', () => {
	it('names keys, people and machines, and leaves what it does not know as it is', () => {
		const names = ['key:k1', 'key:first', 'user:acct_1', 'acct_1', 'node:node_1', 'key:k2', 'system'].map((who) => nameOfActor(who, NAMES));
		expect(names).toEqual(['Nightly batch', 'First key', 'Ada', 'Ada', 'garage', 'key:k2', 'system']);
	});

	it('names jobs and pictures by their prompt, and cuts long ids short', () => {
		const prompts = new Map([[JOB, 'a red castle']]);
		expect([JOB, `img_${JOB}_0`, 'node_1', 'main'].map((target) => nameOfTarget(target, NAMES, prompts))).toEqual([
			'a red castle',
			'a red castle',
			'garage',
			'main',
		]);
		expect(nameOfTarget(JOB, NAMES, new Map())).toBe('job_…4hyw00');
		expect(shortId('k1')).toBe('k1');
	});
});

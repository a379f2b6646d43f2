import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { isSame } from './same.ts';

const sorted = (_: string, each: unknown): unknown =>
	each !== null && typeof each === 'object' && !Array.isArray(each)
		? Object.fromEntries(Object.entries(each).toSorted(([a], [b]) => (a < b ? -1 : 1)))
		: each;

const bare = (value: unknown): string => JSON.stringify(value, sorted);

it('compares plain data as JSON would, whatever the order of fields', () => {
	// `-0` is not told from `0` in JSON, and is the same here too.
	const few = fc.jsonValue({ maxDepth: 3 });
	const property = fc.property(few, few, (a, b) => {
		expect(isSame(a, b)).toBe(bare(a) === bare(b));
		expect(isSame(a, structuredClone(a))).toBe(true);
	});
	fc.assert(property);
});

it('sees a change of one field, but not of those that do not count', () => {
	const model = { name: 'a', operations: ['txt2img'], defaults: { steps: 4 } };
	expect(isSame([model], [{ ...model, warm: true }], 'warm')).toBe(true);
	expect(isSame([{ ...model, warm: undefined }], [model])).toBe(true);
	expect(isSame([model], [{ ...model, warm: true }])).toBe(false);
	expect(isSame([{ ...model, source: 'x/y' }], [model], 'warm')).toBe(false);
	expect(isSame([model], [{ ...model, defaults: { steps: 5 } }], 'warm')).toBe(false);
	expect(isSame([model], [model, model])).toBe(false);
	expect(isSame([], {})).toBe(false);
});

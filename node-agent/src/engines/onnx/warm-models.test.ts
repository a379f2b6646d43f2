import { describe, expect, it } from 'vitest';
import { WarmModels } from './warm-models.ts';

/** Models of the sizes given, in a memory of `limit`; what happens is written down. */
const shelf = (limit: number, sizes: Record<string, number>, measured: Record<string, number> = {}) => {
	const log: string[] = [];
	let used = 0;
	const models = new WarmModels<string, { name: string; release: () => Promise<void> }>({
		limit: () => limit,
		used: () => used,
		estimate: (name) => sizes[name] ?? 0,
		open: async (name) => {
			if (sizes[name] === undefined) throw new Error('broken');
			log.push(`+${name}`);
			used += measured[name] ?? 0;
			return Promise.resolve({ name, release: async () => Promise.resolve(void log.push(`-${name}`)) });
		},
	});
	const use = async (...names: string[]): Promise<void> => {
		for (const name of names) expect((await models.get(name, name, () => undefined)).name).toBe(name);
	};
	return { log, models, use };
};

describe('WarmModels', () => {
	it('keeps what fits, and lets go first of what was used longest ago', async () => {
		const { log, models, use } = shelf(10, { a: 4, b: 4, c: 4, d: 10 });
		await use('a', 'b', 'a', 'c');
		expect(log).toEqual(['+a', '+b', '-b', '+c']);
		expect(models.keys).toEqual(['a', 'c']);
		await use('d');
		expect(models.keys).toEqual(['d']);
		expect(log.slice(4)).toEqual(['-a', '-c', '+d']);
	});

	it('loads a model that is larger than the limit alone', async () => {
		const { models, use } = shelf(1, { a: 4, b: 4 });
		await use('a', 'b');
		expect(models.keys).toEqual(['b']);
	});

	it('goes by what a model was measured to take, when that is more than its files', async () => {
		const { models, use } = shelf(10, { a: 1, b: 1, c: 1 }, { a: 9 });
		await use('a', 'b', 'c');
		expect(models.keys).toEqual(['b', 'c']);
	});

	it('keeps the others when one cannot be opened', async () => {
		const { models, use } = shelf(10, { a: 4 });
		await use('a');
		await expect(models.get('x', 'x', () => undefined)).rejects.toThrow('broken');
		expect(models.keys).toEqual(['a']);
		await models.clear();
		expect(models.keys).toEqual([]);
	});
});

import type { Model } from '@limner/sdk';
import { describe, expect, it } from 'vitest';
import { editModels, usualStrength } from './model.ts';

const model = (name: string, operations: Model['operations'], more: Partial<Model> = {}): Model =>
	({ name, operations, nodes: 1, isDefault: false, ...more }) as Model;
const ALL: Model['operations'] = ['txt2img', 'img2img', 'inpaint'];
const lightning = model('storybook-lightning', ALL, { isDefault: true });
const storybook = model('storybook', ALL);
const repainter = model('storybook-inpaint', ['inpaint']);
const other = model('sd-1.5', ALL);
const models = [other, storybook, repainter, lightning];
const chosen = (marked: boolean, choice = {}, list = models): string | undefined => editModels(list, marked, choice).model?.name;

describe('the model that the editor offers', () => {
	it('is the one that repaints where there is a mask, and the usual one where there is none', () => {
		expect(chosen(false)).toBe('storybook-lightning');
		expect(chosen(true)).toBe('storybook-inpaint');
		expect(chosen(true, { elsewhere: 'storybook' })).toBe('storybook-inpaint');
		expect(chosen(false, { elsewhere: 'storybook' })).toBe('storybook');
	});

	it('is what was chosen, as long as it can do what is asked for', () => {
		expect(chosen(true, { here: 'storybook-lightning' })).toBe('storybook-lightning');
		expect(chosen(true, { here: 'sd-1.5', elsewhere: 'storybook' })).toBe('sd-1.5');
		expect(chosen(false, { here: 'storybook-inpaint', elsewhere: 'storybook' })).toBe('storybook');
		expect(chosen(false, { elsewhere: 'storybook-inpaint' })).toBe('storybook-lightning');
	});

	it('stays the usual one where no repainter belongs to it, or no node has that', () => {
		expect(chosen(true, { elsewhere: 'sd-1.5' })).toBe('sd-1.5');
		expect(chosen(true, {}, [lightning, { ...repainter, nodes: 0 }])).toBe('storybook-lightning');
		expect(
			chosen(
				true,
				{},
				[lightning, repainter].map((one) => ({ ...one, nodes: 0 })),
			),
		).toBe('storybook-inpaint');
		expect(chosen(true, {}, [repainter])).toBe('storybook-inpaint');
		expect(chosen(false, {}, [repainter])).toBeUndefined();
	});

	it('starts anew where it was trained to repaint', () => {
		expect([usualStrength(repainter), usualStrength(storybook), usualStrength(undefined)]).toEqual([1, 0.75, 0.75]);
	});

	it('is chosen among those that can do it', () => {
		const names = (marked: boolean): string[] => editModels(models, marked, {}).able.map(({ name }) => name);
		expect(names(true)).toEqual(models.map(({ name }) => name));
		expect(names(false)).toEqual(['sd-1.5', 'storybook', 'storybook-lightning']);
	});
});

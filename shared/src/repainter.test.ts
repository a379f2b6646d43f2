import { describe, expect, it } from 'vitest';
import { repainterOf } from './repainter.ts';

const all = ['txt2img', 'img2img', 'inpaint'];
const model = (name: string, operations = all) => ({ name, operations });
const only = (name: string) => model(name, ['inpaint']);

describe('the model that repaints for another', () => {
	it.each([
		['storybook', 'storybook-inpaint'],
		['storybook-lightning', 'storybook-inpaint'],
		['sd-2', 'sd-2-inpainting'],
		['sd-2-turbo', 'sd-2-inpainting'],
		['sd-2-turbo-x', 'sd-2-turbo-inpaint'],
		['sd-2-inpainting', 'sd-2-inpainting'],
		['sd-21', undefined],
		['storybooks', undefined],
		['sdxl', undefined],
	])('%s: %s', (name, expected) => {
		const list = [model('storybook'), only('storybook-inpaint'), only('sd-2-inpainting'), only('repaint')];
		const more = name === 'sd-2-turbo-x' ? [only('sd-2-turbo-inpaint')] : [];
		const asked = name === expected ? only(name) : model(name);
		expect(repainterOf([...list, ...more], asked)?.name).toBe(expected);
	});

	it('does nothing else: one that can do more was not trained for it', () => {
		expect(repainterOf([model('storybook-inpaint')], model('storybook'))).toBeUndefined();
	});
});

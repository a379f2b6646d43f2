/**
 * Which model repaints what a mask marks. Pure.
 * @module
 */

/** Endings by which models that were trained to repaint are called. */
const INPAINTING = /[-_.](?:inpaint|inpainting)$/i;

/**
 * The model that was trained to repaint what a mask marks, and belongs to `model`: one that does nothing else, named after it
 * or after what it stems from (`storybook-inpaint` belongs to `storybook` and to `storybook-lightning`).
 * @param models those to choose from
 */
export const repainterOf = <M extends { name: string; operations: readonly string[] }>(models: readonly M[], model: M): M | undefined => {
	const isRepainter = ({ operations }: M): boolean => operations.length === 1 && operations[0] === 'inpaint';
	const stem = ({ name }: M): string => name.replace(INPAINTING, '');
	const belongs = (one: M): boolean => one.name !== stem(one) && (model.name === stem(one) || model.name.startsWith(`${stem(one)}-`));
	if (isRepainter(model)) return model;
	return models.filter((one) => isRepainter(one) && belongs(one)).toSorted((a, b) => stem(b).length - stem(a).length)[0];
};

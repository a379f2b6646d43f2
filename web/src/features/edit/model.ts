/**
 * Which model the editor offers. Pure.
 * @module
 */
import { repainterOf } from '@limner/shared/repainter';
import type { Model } from '@limner/sdk';
import { ableTo, modelOf } from '../../lib/models.ts';

/** What a person chose so far: in the editor for this picture, and on the other pages. */
export interface Choice {
	here?: string | undefined;
	elsewhere?: string | undefined;
}

/**
 * The models that can do what is asked for, and the one that does it unless another is chosen here. With a mask that is
 * the model trained to repaint which belongs to the one chosen elsewhere, unless only the latter has a node.
 */
export const editModels = (
	models: readonly Model[],
	marked: boolean,
	{ here, elsewhere }: Choice,
): { able: Model[]; model: Model | undefined } => {
	const able = ableTo(models, marked ? 'inpaint' : 'img2img');
	const named = able.find(({ name }) => name === here);
	if (named !== undefined) return { able, model: named };
	const usual = modelOf(ableTo(models, 'img2img'), elsewhere);
	const repainter = marked && usual !== undefined ? repainterOf(able, usual) : undefined;
	if (repainter !== undefined && (repainter.nodes > 0 || usual?.nodes === 0)) return { able, model: repainter };
	return { able, model: modelOf(able, elsewhere) };
};

const DEFAULT_STRENGTH = 0.75;

/** How much is changed unless somebody says so: a model that was trained to repaint sees what is around and starts anew. */
export const usualStrength = (model: Model | undefined): number => (model?.operations.includes('img2img') === false ? 1 : DEFAULT_STRENGTH);

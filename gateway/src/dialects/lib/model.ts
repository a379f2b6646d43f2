/**
 * The model and the size that a caller of a dialect means.
 * @module
 */
import { LimnerError, type JobRequest } from '@limner/shared';
import type { KnownModel } from '../../lib/catalog.ts';
import type { AppContext } from '../../lib/context.ts';
import { askModels, modelsOf, repainterFor } from '../../lib/models.ts';
import { parseAliases, resolveAlias } from './aliases.ts';
import { fitSize, sizePolicyOf, type Size } from './size.ts';

/** Names the warnings of a request that was changed so that it can be done. ASCII, since it stands in a header. */
export const WARNING_HEADER = 'Limner-Warning';

/** Tells the caller what was changed. */
export const warn = (c: AppContext, sentence: string): void =>
	c.header(WARNING_HEADER, sentence.replaceAll(/[^\x20-\x7e]/g, '?'), { append: true });

/**
 * The model that a name means: a model of the pool, an alias, or the default.
 * @param masked whether there is a mask: who names no model of the pool then means the default's repainter where a node has one
 * @throws {LimnerError} `model_unknown`
 */
export const modelFor = async (c: AppContext, name: string | undefined, masked = false): Promise<KnownModel> => {
	const { ws } = c.get('principal');
	const find = (models: readonly KnownModel[]): KnownModel | undefined => {
		const known = models.map((model) => model.name);
		const options = { known, aliases: parseAliases(c.env.MODEL_ALIASES), defaultModel: c.env.DEFAULT_MODEL };
		const wanted = resolveAlias(name, options);
		return models.find((model) => model.name === wanted);
	};
	const model = find(await modelsOf(c, ws)) ?? find(await askModels(c, ws));
	const chosen = model?.name === name || model?.name !== c.env.DEFAULT_MODEL;
	if (model !== undefined) return masked && !chosen ? repainterFor(c, model) : model;
	const list = (await modelsOf(c, ws)).map((known) => known.name).join(', ');
	const detail = `the model ${name ?? c.env.DEFAULT_MODEL} does not exist; there are: ${list}`;
	throw new LimnerError('model_unknown', { detail, errors: [{ pointer: '/model', detail, code: 'model_unknown' }] });
};

/**
 * The size to draw, after `SIZE_POLICY`; a change is told in a header.
 * @throws {LimnerError} `validation_failed` with the list of sizes
 */
export const sizeFor = (c: AppContext, model: KnownModel, wanted: Size | undefined): Pick<JobRequest, 'width' | 'height'> & Size => {
	const verdict = fitSize(model, wanted, sizePolicyOf(c.env.SIZE_POLICY));
	if (!verdict.ok)
		throw new LimnerError('validation_failed', { detail: verdict.detail, errors: [{ pointer: '/size', detail: verdict.detail }] });
	if (verdict.warning !== undefined) warn(c, verdict.warning);
	return verdict.size;
};

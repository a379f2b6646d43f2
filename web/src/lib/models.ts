/**
 * Choosing among the models of the pool. Pure.
 * @module
 */
import type { Model } from '@limner/sdk';

/** Models that can do a task; one that only repaints cannot draw from words alone. */
export const ableTo = (models: readonly Model[], task: Model['operations'][number]): Model[] =>
	models.filter(({ operations }) => operations.includes(task));

/** The model that a request means: the named one, else the pool's default, else any. */
export const modelOf = (models: readonly Model[], name: string | undefined): Model | undefined =>
	models.find((model) => model.name === name) ?? models.find((model) => model.isDefault) ?? models[0];

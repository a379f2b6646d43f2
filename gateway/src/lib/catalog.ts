/**
 * Models that the gateway knows without any node: the one that ships with Limner, so that a job can be submitted
 * before the first node has come.
 * @module
 */
import type { ModelView, Operation } from '@limner/shared';

/** A model as the gateway needs it to fill in a request's defaults. */
export interface KnownModel {
	name: string;
	family: string;
	operations: Operation[];
	nativeWidth: number;
	nativeHeight: number;
	sizeMultiple: number;
	defaults: { steps: number; guidance: number; scheduler: string };
	scope?: string | undefined;
	displayName?: string | undefined;
	licence?: string | undefined;
	warm?: boolean | undefined;
	/** Online, active nodes that hold it. */
	nodes: number;
}

export const BUILT_IN_MODELS: readonly KnownModel[] = [
	{
		name: 'storybook',
		displayName: 'Storybook',
		family: 'sd',
		operations: ['txt2img', 'img2img', 'inpaint'],
		nativeWidth: 128,
		nativeHeight: 128,
		sizeMultiple: 8,
		defaults: { steps: 20, guidance: 4, scheduler: 'ddim' },
		scope:
			'A small model that ships with Limner and runs on any CPU. It draws simple scenes of a picture book: one subject, a place, a time of day.',
		licence: 'Apache-2.0',
		nodes: 0,
	},
];

/** The same model from several shards and from the catalogue as one entry. The offer of most nodes describes it. */
export const mergeModels = (lists: readonly (readonly KnownModel[])[]): KnownModel[] => {
	const byName = new Map<string, KnownModel>();
	for (const model of lists.flat()) {
		const known = byName.get(model.name);
		if (known === undefined) {
			byName.set(model.name, model);
			continue;
		}
		const leader = model.nodes > known.nodes ? model : known;
		byName.set(model.name, {
			...leader,
			operations: [...new Set([...known.operations, ...model.operations])],
			nodes: known.nodes + model.nodes,
			warm: known.warm === true || model.warm === true,
		});
	}
	return [...byName.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
};

/** A model as `GET /api/v1/models` lists it. */
export const modelView = (model: KnownModel, defaultModel: string): ModelView => ({
	name: model.name,
	displayName: model.displayName ?? model.name,
	family: model.family,
	operations: model.operations,
	nativeWidth: model.nativeWidth,
	nativeHeight: model.nativeHeight,
	sizeMultiple: model.sizeMultiple,
	defaults: { steps: model.defaults.steps, guidance: model.defaults.guidance, scheduler: model.defaults.scheduler },
	...(model.scope === undefined ? {} : { scope: model.scope }),
	...(model.licence === undefined ? {} : { licence: model.licence }),
	nodes: model.nodes,
	warm: model.warm ?? false,
	isDefault: model.name === defaultModel,
});

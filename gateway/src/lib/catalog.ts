/**
 * Models that the gateway knows without any node: the one that ships with Limner, so that a job can be submitted
 * before the first node has come.
 * @module
 */
import { REQUEST_LIMITS, type ModelView, type Operation } from '@limner/shared';
import storybookInpaint from '../../../models/storybook-inpaint/limner.json' with { type: 'json' };
import storybookLightning from '../../../models/storybook-lightning/limner.json' with { type: 'json' };
import storybook from '../../../models/storybook/limner.json' with { type: 'json' };

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

/** What `limner.json` of an embedded model says, as far as the gateway tells it. */
type Card = Pick<KnownModel, 'displayName' | 'licence' | 'scope' | 'nativeWidth' | 'nativeHeight' | 'defaults'>;

const embedded = (name: string, card: Card, operations: Operation[] = ['txt2img', 'img2img', 'inpaint']): KnownModel => ({
	name,
	displayName: card.displayName,
	family: 'sd',
	operations,
	nativeWidth: card.nativeWidth,
	nativeHeight: card.nativeHeight,
	sizeMultiple: REQUEST_LIMITS.sizeMultiplePx,
	defaults: card.defaults,
	scope: card.scope,
	licence: card.licence,
	nodes: 0,
});

export const BUILT_IN_MODELS: readonly KnownModel[] = [
	embedded('storybook', storybook),
	embedded('storybook-lightning', storybookLightning),
	embedded('storybook-inpaint', storybookInpaint, ['inpaint']),
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

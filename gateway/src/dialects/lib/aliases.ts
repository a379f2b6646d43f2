/**
 * Model names of other services, which clients send because they know no others. Pure.
 * @module
 */

/** Names that stand for the default model unless `MODEL_ALIASES` says otherwise. */
const FAMILIAR = /^(?:gpt-image-[\w.-]+|chatgpt-image-[\w.-]+|dall-e-[23]|imagen-[\w.-]+)$/;
/** What clients are shown in lists of models, so that they offer image generation. */
export const LISTED_ALIASES = ['gpt-image-1', 'dall-e-3', 'dall-e-2'] as const;

/** Reads `MODEL_ALIASES`: `name=model` pairs, separated by commas. What is no pair is left out. */
export const parseAliases = (text: string): Map<string, string> =>
	new Map(
		text
			.split(',')
			.map((pair) => pair.split('=').map((part) => part.trim()))
			.flatMap(([name = '', model = '', ...rest]) => (name === '' || model === '' || rest.length > 0 ? [] : [[name, model] as const])),
	);

/**
 * The model that a name stands for: itself, unless it is an alias.
 * @param known names of the models that the pool has; a real model is never hidden by an alias of the same name
 */
export const resolveAlias = (
	name: string | undefined,
	options: { known: readonly string[]; aliases: ReadonlyMap<string, string>; defaultModel: string },
): string => {
	if (name === undefined || name === '') return options.defaultModel;
	if (options.known.includes(name)) return name;
	const target = options.aliases.get(name);
	if (target !== undefined) return target;
	return FAMILIAR.test(name) ? options.defaultModel : name;
};

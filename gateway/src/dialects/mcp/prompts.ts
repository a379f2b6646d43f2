/**
 * Prompts: starting points that a person picks from a menu.
 * @module
 */
import { completable, type GetPromptResult, type McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';

const STYLES = [
	'watercolour',
	'oil painting',
	'ink drawing',
	'pixel art',
	'flat illustration',
	'3D render',
	'photograph',
	'paper cut-out',
	'stained glass',
	'isometric',
];

/** Values that begin with what was typed, those that contain it after them. */
export const matching = (values: readonly string[], typed: string): string[] => {
	const wanted = typed.toLowerCase();
	const rank = (value: string): number => (value.toLowerCase().startsWith(wanted) ? 0 : 1);
	return values
		.filter((value) => value.toLowerCase().includes(wanted))
		.toSorted((a, b) => rank(a) - rank(b))
		.slice(0, 100);
};

const ask = (text: string): GetPromptResult => ({ messages: [{ role: 'user', content: { type: 'text', text } }] });

const withModel = (name: string | undefined): string => (name === undefined || name === '' ? '' : ` Use the model ${name}.`);

export interface PromptSources {
	models: () => Promise<string[]>;
	images: () => Promise<string[]>;
}

/** Registers the prompts of the server. */
export const addPrompts = (server: McpServer, { models, images }: PromptSources): void => {
	const style = completable(z.string().max(200).describe('How it is drawn'), (typed) => matching(STYLES, typed));
	const model = completable(z.string().max(200).optional().describe('Name of a model; left out: the default one'), async (typed) =>
		matching(await models(), typed ?? ''),
	);
	const image = completable(z.string().max(4096).describe('img_… of an earlier picture'), async (typed) => matching(await images(), typed));

	server.registerPrompt(
		'illustrate',
		{
			title: 'Illustrate',
			description: 'A picture of a scene in a style',
			argsSchema: z.object({ scene: z.string().max(2000), style, model }),
		},
		(args) =>
			ask(
				`Make a picture with generate_image: ${args.scene}, ${args.style}. Write the prompt as a list of what is seen, light and composition last.${withModel(args.model)} Then show me the link.`,
			),
	);
	server.registerPrompt(
		'explore',
		{
			title: 'Explore variations',
			description: 'Four pictures of one idea, to choose from',
			argsSchema: z.object({ idea: z.string().max(2000), model }),
		},
		(args) =>
			ask(
				`Make four different pictures of "${args.idea}" with one generate_image call (n: 4).${withModel(args.model)} List the links with one line each on what differs, and ask me which one to go on with; then use regenerate.`,
			),
	);
	server.registerPrompt(
		'change',
		{ title: 'Change a picture', description: 'The same picture, but …', argsSchema: z.object({ image, change: z.string().max(2000) }) },
		(args) =>
			ask(
				`Look at ${args.image} with view_image. Then change it: ${args.change}. Call generate_image with image "${args.image}", a prompt that describes the whole new picture, and a strength between 0.4 and 0.7. Show me both links.`,
			),
	);
	server.registerPrompt(
		'product_shot',
		{
			title: 'Product shot',
			description: 'A thing on a plain ground, lit like in a catalogue',
			argsSchema: z.object({ product: z.string().max(2000), background: z.string().max(500).optional(), model }),
		},
		(args) =>
			ask(
				`Make a product picture with generate_image: ${args.product}, centred, on ${args.background ?? 'a plain light ground'}, soft studio light, sharp focus; negative_prompt: text, watermark, clutter.${withModel(args.model)} Then show me the link.`,
			),
	);
};

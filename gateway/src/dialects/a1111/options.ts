/**
 * `/sdapi/v1/options`: what the web UI keeps as settings. Kept for each API key, in the bucket; only what means something
 * here can be set.
 * @module
 */
import { z } from 'zod';
import type { AppContext } from '../../lib/context.ts';
import { storageOf } from '../../storage/index.ts';

const Format = z.enum(['png', 'jpg', 'jpeg', 'webp']);
const Stored = z.object({ sd_model_checkpoint: z.string().optional(), samples_format: z.string().optional() });
export type Stored = z.infer<typeof Stored>;

const keyOf = (c: AppContext): string => `o/${c.get('principal').ws}/a1111/${c.get('principal').keyId}`;

/** All settings; the last four are what clients write back unchanged. */
export const OptionsBody = z.strictObject({
	...Stored.shape,
	samples_format: Format.optional(),
	CLIP_stop_at_last_layers: z.literal(1).optional(),
	sd_vae: z.literal('Automatic').optional(),
	live_previews_enable: z.literal(true).optional(),
	eta_noise_seed_delta: z.literal(0).optional(),
});
export type OptionsBody = z.infer<typeof OptionsBody>;

/** What this key has set. */
export const readOptions = async (c: AppContext): Promise<Stored> => {
	const object = await storageOf(c.env).get(keyOf(c));
	if (object === null) return {};
	return Stored.safeParse(await new Response(object.body).json()).data ?? {};
};

/** All settings. */
export const optionsView = (stored: Stored, defaultModel: string): OptionsBody => ({
	sd_model_checkpoint: stored.sd_model_checkpoint ?? defaultModel,
	samples_format: Format.safeParse(stored.samples_format).data ?? 'png',
	CLIP_stop_at_last_layers: 1,
	sd_vae: 'Automatic',
	live_previews_enable: true,
	eta_noise_seed_delta: 0,
});

/** Sets options; those that are fixed here have their only value already. */
export const writeOptions = async (c: AppContext, body: OptionsBody): Promise<void> => {
	const next = { ...(await readOptions(c)), ...Stored.parse(body) };
	await storageOf(c.env).put(keyOf(c), new TextEncoder().encode(JSON.stringify(next)));
};

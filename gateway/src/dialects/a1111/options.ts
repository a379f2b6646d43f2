/**
 * `/sdapi/v1/options`: what the web UI keeps as settings. Kept for each API key, in the bucket; only what means something
 * here can be set.
 * @module
 */
import { LimnerError } from '@limner/shared';
import { z } from 'zod';
import type { AppContext } from '../../lib/context.ts';
import { storageOf } from '../../storage/index.ts';

const Stored = z.object({ sd_model_checkpoint: z.string().optional(), samples_format: z.string().optional() });
export type Stored = z.infer<typeof Stored>;

const keyOf = (c: AppContext): string => `o/${c.get('principal').ws}/a1111/${c.get('principal').keyId}`;

/** What this key has set. */
export const readOptions = async (c: AppContext): Promise<Stored> => {
	const object = await storageOf(c.env).get(keyOf(c));
	if (object === null) return {};
	return Stored.safeParse(await new Response(object.body).json()).data ?? {};
};

/** Settings that clients write back unchanged after having read them all. */
const FIXED: Record<string, unknown> = {
	CLIP_stop_at_last_layers: 1,
	sd_vae: 'Automatic',
	live_previews_enable: true,
	eta_noise_seed_delta: 0,
};

/** All settings. */
export const optionsView = (stored: Stored, defaultModel: string): Record<string, unknown> => ({
	sd_model_checkpoint: stored.sd_model_checkpoint ?? defaultModel,
	samples_format: stored.samples_format ?? 'png',
	...FIXED,
});

/**
 * Sets options.
 * @throws {LimnerError} `validation_failed` for a setting that has no effect here
 */
export const writeOptions = async (c: AppContext, body: Record<string, unknown>): Promise<void> => {
	for (const [name, value] of Object.entries(body)) {
		const known = name in Stored.shape ? typeof value === 'string' : name in FIXED && FIXED[name] === value;
		if (known) continue;
		const detail = `the setting ${name} cannot be changed here; there are: ${Object.keys(Stored.shape).join(', ')}`;
		throw new LimnerError('validation_failed', { detail, errors: [{ pointer: `/${name}`, detail }] });
	}
	const next = { ...(await readOptions(c)), ...Stored.parse(body) };
	await storageOf(c.env).put(keyOf(c), new TextEncoder().encode(JSON.stringify(next)));
};

/** The embedded model that tests mean when they name none, as its card describes it. */
import { readdirSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEFAULT_MODEL, EMBEDDED_DIR } from './embedded.ts';

/** Names of the models that ship with Limner. */
export const EMBEDDED_MODELS: readonly string[] = readdirSync(EMBEDDED_DIR).filter((name) =>
	existsSync(join(EMBEDDED_DIR, name, 'model_index.json')),
);

/** Sides of an embedded model's pictures, in pixels. */
export const nativePx = (name: string = DEFAULT_MODEL): number =>
	(JSON.parse(readFileSync(join(EMBEDDED_DIR, name, 'limner.json'), 'utf8')) as { nativeWidth: number }).nativeWidth;

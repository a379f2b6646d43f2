/**
 * The models that ship with Limner, and which of them a request means that names none.
 * @module
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folder of the embedded models. */
export const EMBEDDED_DIR = resolve(fileURLToPath(new URL('../../../models', import.meta.url)));

/** Names that a request may mean, the best first: the student draws in four steps what its teacher draws in twenty. */
export const PREFERRED_MODELS = ['storybook-lightning', 'storybook'] as const;

/** The first of them in a folder of models. */
export const preferredIn = (dir: string): string =>
	PREFERRED_MODELS.find((name) => existsSync(join(dir, name, 'model_index.json'))) ?? 'storybook';

/** The model of a request that names none, on machines that have the embedded ones. */
export const DEFAULT_MODEL: string = preferredIn(EMBEDDED_DIR);

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { BUILT_IN_MODELS } from './catalog.ts';

const root = join(import.meta.dirname, '../../..');

it('knows the models that ship with Limner, and one of them is the default', () => {
	const shipped = readdirSync(join(root, 'models')).filter((name) => existsSync(join(root, 'models', name, 'model_index.json')));
	const names = BUILT_IN_MODELS.map(({ name }) => name);
	expect(names.toSorted()).toEqual(shipped.toSorted());
	const [, chosen] = /^DEFAULT_MODEL = "([^"]+)"$/m.exec(readFileSync(join(root, 'wrangler.toml'), 'utf8')) ?? [];
	expect(chosen).toBe(names.includes('storybook-lightning') ? 'storybook-lightning' : 'storybook');
});

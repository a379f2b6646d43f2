import { cpSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ModelShelf } from './shelf.ts';

const STORYBOOK = fileURLToPath(new URL('../../../models/storybook', import.meta.url));
const PARTS = ['model_index.json', 'scheduler', 'tokenizer', 'text_encoder', 'unet', 'vae_decoder', 'vae_encoder', 'limner.json'];

let folder = '';
let shelf: ModelShelf;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'limner-shelf-'));
	shelf = new ModelShelf({ dirs: [join(folder, 'models')], cacheFile: join(folder, 'hashes.json') });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const names = (list: Awaited<ReturnType<ModelShelf['look']>>): string[] | undefined => list?.models.map((model) => model.name);
const put = (name: string): void => {
	for (const part of PARTS) cpSync(join(STORYBOOK, part), join(folder, 'models', name, part), { recursive: true });
	writeFileSync(join(folder, 'models', name, 'limner.json'), JSON.stringify({ name }));
};

it('finds models that come, change and go, and answers nothing while all is as it was', async () => {
	put('one');
	expect(names(await shelf.open())).toEqual(['one']);
	expect(await shelf.look()).toBeUndefined();
	put('two');
	expect(await shelf.look()).toBeUndefined();
	expect(names(await shelf.look())).toEqual(['one', 'two']);
	expect(await shelf.look()).toBeUndefined();
	rmSync(join(folder, 'models', 'one'), { recursive: true });
	await shelf.look();
	expect(names(await shelf.look())).toEqual(['two']);
	writeFileSync(join(folder, 'models', 'two', 'limner.json'), JSON.stringify({ name: 'renamed' }));
	await shelf.look();
	expect(names(await shelf.look())).toEqual(['renamed']);
});

it('waits for a copy to end, and reports what is broken once', async () => {
	await shelf.open();
	put('one');
	renameSync(join(folder, 'models', 'one', 'unet'), join(folder, 'unet'));
	expect(await shelf.look()).toBeUndefined();
	renameSync(join(folder, 'unet'), join(folder, 'models', 'one', 'unet'));
	// It changed between the two looks, so what is there is not trusted yet.
	expect(await shelf.look()).toBeUndefined();
	expect(names(await shelf.look())).toEqual(['one']);
	rmSync(join(folder, 'models', 'one', 'unet'), { recursive: true });
	await shelf.look();
	const broken = await shelf.look();
	expect(names(broken)).toEqual([]);
	expect(broken?.broken).toHaveLength(1);
	expect(await shelf.look()).toBeUndefined();
});

it('follows the links that a pull makes', async () => {
	put('real');
	renameSync(join(folder, 'models'), join(folder, 'cache'));
	const linked = new ModelShelf({ dirs: [join(folder, 'links')], cacheFile: join(folder, 'hashes.json') });
	await linked.open();
	cpSync(join(folder, 'cache', 'real', 'limner.json'), join(folder, 'links', 'x'));
	symlinkSync(join(folder, 'cache', 'real'), join(folder, 'links', 'real'), 'junction');
	await linked.look();
	expect(names(await linked.look())).toEqual(['real']);
});

/**
 * Makes a variant of a model beside it. The original is never touched.
 * @module
 */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { UserError } from '../../lib/user-error.ts';
import { makeFolder } from '../hub-cache.ts';
import { entryName } from '../pull.ts';
import { writeRecord } from '../records.ts';
import { readModel, type StoredModel } from '../store.ts';
import { runOptimizer, type ComponentResult, type PythonTools } from './python.ts';

export interface Wanted {
	fuse: boolean;
	fp16: boolean;
	int8: boolean;
}

/** What a variant is called when it gets no name. */
export const variantName = (name: string, { fuse, fp16, int8 }: Wanted): string =>
	[basename(name), ...(fuse ? ['fused'] : []), ...(fp16 ? ['fp16'] : []), ...(int8 ? ['int8'] : [])].join('-');

const WORDS = { fuse: 'fused', fp16: 'half precision', int8: '8-bit weights' } as const;

/** The card of the original, but for its name, which is that of the folder now. */
const writeCard = async (folder: string, original: StoredModel, wanted: Wanted): Promise<void> => {
	const file = join(folder, 'limner.json');
	const card: Record<string, unknown> = existsSync(file) ? { ...(JSON.parse(readFileSync(file, 'utf8')) as object) } : {};
	delete card['name'];
	const kinds = (Object.keys(WORDS) as (keyof Wanted)[]).filter((kind) => wanted[kind]).map((kind) => WORDS[kind]);
	card['displayName'] = `${original.info.displayName ?? original.name} (${kinds.join(', ')})`;
	await writeFile(file, `${JSON.stringify(card, null, '\t')}\n`);
};

export interface VariantOptions {
	python: PythonTools;
	original: StoredModel;
	wanted: Wanted;
	/** Folder of models that gets the variant. */
	store: string;
	name?: string;
	/** What it will run on. */
	device: string;
	onComponent: (result: ComponentResult) => void;
}

/**
 * Makes the variant, reads it back and puts it in the store.
 * @throws {UserError} when the name is taken, the tools fail, or the result is no model; nothing is left behind then
 */
export const makeVariant = async (options: VariantOptions): Promise<StoredModel> => {
	const { original, wanted, store } = options;
	const entry = options.name ?? variantName(original.name, wanted);
	entryName({ name: entry, store, spec: { repo: entry, revision: 'main' } });
	await makeFolder(store);
	const draft = join(store, `.${entry}.${process.pid}.tmp`);
	const path = join(store, entry);
	const onExit = (): void => rmSync(draft, { recursive: true, force: true });
	process.once('exit', onExit);
	try {
		await runOptimizer(options.python, { source: original.dir, target: draft, ...wanted, device: options.device }, options.onComponent);
		await writeCard(draft, original, wanted);
		await rename(draft, path);
	} finally {
		await rm(draft, { recursive: true, force: true });
		process.removeListener('exit', onExit);
	}
	const read = await readModel(path);
	if (!read.ok) {
		await rm(path, { recursive: true, force: true });
		throw new UserError(`The variant cannot be used. ${read.broken.sentence}`);
	}
	await writeRecord(store, { kind: 'import', entry, from: original.dir, copied: true });
	return read.model;
};

/**
 * What can be done with finished pictures.
 * @module
 */
import type { GalleryImage, ImageMetadata } from '@limner/sdk';
import { zipSync } from 'fflate';
import { download as saveFile } from '../../lib/download.ts';
import { forgetImages } from '../../lib/queries.ts';
import { client } from '../../lib/session.ts';
import { createStored } from '../../lib/value.ts';

/** Downloads at a time. */
const AT_A_TIME = 4;

/** Ids with a star. They stay in this browser. */
export const stars = createStored<readonly string[]>('limner.stars', []);

export const toggleStar = (id: string): void => {
	const now = stars.get();
	stars.set(now.includes(id) ? now.filter((one) => one !== id) : [...now, id]);
};

const EXTENSIONS: Record<string, string> = { 'image/png': 'png', 'image/jpeg': 'jpg', 'image/webp': 'webp' };

/** `a-red-castle-42.png` */
export const fileName = ({ prompt, seed, contentType }: Pick<GalleryImage, 'prompt' | 'seed' | 'contentType'>): string => {
	const words = prompt
		.toLowerCase()
		.replaceAll(/[^\p{L}\p{N}]+/gu, '-')
		.replaceAll(/^-|-$/g, '')
		.slice(0, 60);
	return `${words}-${seed}.${EXTENSIONS[contentType] ?? 'png'}`;
};

/** Saves one picture as it is, or several as a zip; pictures do not shrink, so they are only packed. */
export const download = async (images: readonly GalleryImage[]): Promise<void> => {
	const [first] = images;
	if (first === undefined) return;
	if (images.length === 1) return saveFile(await client.gallery.blob(first.id), fileName(first));
	const files: Record<string, Uint8Array> = {};
	// A few at a time: hundreds of pictures one after the other take long, all at once too much.
	for (let from = 0; from < images.length; from += AT_A_TIME) {
		const some = images.slice(from, from + AT_A_TIME);
		const bytes = await Promise.all(some.map(({ id }) => client.gallery.bytes(id)));
		for (const [i, image] of some.entries()) {
			const name = fileName(image);
			files[name in files ? `${image.id}-${name}` : name] = bytes[i] ?? new Uint8Array();
		}
	}
	const zip = zipSync(files, { level: 0 });
	saveFile(new Blob([zip], { type: 'application/zip' }), 'limner.zip');
};

/** Deletes for good. */
export const remove = async (images: readonly GalleryImage[]): Promise<void> => {
	const gone = new Set<string>();
	try {
		for (const { id } of images) {
			await client.gallery.delete(id);
			gone.add(id);
		}
	} finally {
		// One that could not be deleted must not bring the others back.
		stars.set(stars.get().filter((id) => !gone.has(id)));
		forgetImages(gone);
	}
};

/** The request that makes a picture again. */
export const requestOf = ({ request, seed }: ImageMetadata): Record<string, unknown> => {
	const { prompt, negativePrompt, model, task, width, height, steps, guidance, scheduler, strength, initImage, maskImage } = request;
	const all = { prompt, negativePrompt, model, task, width, height, steps, guidance, scheduler, strength, initImage, maskImage, seed };
	return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined && value !== null && value !== ''));
};

const shellQuote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** The same picture by curl, the TypeScript client, or an MCP host. The key stays out of it. */
export const asCode = (image: ImageMetadata, how: 'curl' | 'sdk' | 'mcp', origin: string): string => {
	const request = requestOf(image);
	if (how === 'curl') {
		return `curl -sS "${origin}/api/v1/jobs?wait=45" -H "Authorization: Bearer $LIMNER_API_KEY" -H "Content-Type: application/json" -d ${shellQuote(JSON.stringify(request))}`;
	}
	if (how === 'sdk') {
		return `import { Limner } from '@limner/sdk';\n\nconst limner = new Limner({ baseUrl: '${origin}', apiKey: process.env.LIMNER_API_KEY });\nconst { images } = await limner.images.generate(${JSON.stringify(request, null, '\t')});\n`;
	}
	const { negativePrompt, ...rest } = request;
	const input = negativePrompt === undefined ? rest : { ...rest, negative_prompt: negativePrompt };
	return JSON.stringify({ method: 'tools/call', params: { name: 'generate_image', arguments: input } }, null, 2);
};

// Makes a picture, shows its progress, and saves it: node generate.ts "a red castle" castle.png
import { writeFile } from 'node:fs/promises';
import { Limner } from '@limner/sdk';

const [prompt = 'a red castle in the mountains', file = 'castle.png'] = process.argv.slice(2);
const limner = new Limner({ baseUrl: process.env['LIMNER_URL'] ?? 'http://127.0.0.1:8787', apiKey: process.env['LIMNER_API_KEY'] ?? '' });

const { images } = await limner.images.generate(
	{ prompt, seed: 7 },
	{ onProgress: ({ phase, fraction }) => console.log(`${phase} ${Math.round(fraction * 100)} %`) },
);
for (const image of images) {
	await writeFile(file, await limner.gallery.bytes(image.id));
	console.log(`${file}: ${image.width}×${image.height}, seed ${image.seed}`);
}

// Changes a picture: node img2img.ts castle.png "the same castle in the snow" snow.png
import { readFile, writeFile } from 'node:fs/promises';
import { Limner } from '@limner/sdk';

const [source = 'castle.png', prompt = 'a castle in the snow', file = 'snow.png'] = process.argv.slice(2);
const limner = new Limner({ baseUrl: process.env['LIMNER_URL'] ?? 'http://127.0.0.1:8787', apiKey: process.env['LIMNER_API_KEY'] ?? '' });

// Bytes are uploaded as an asset; `{ job: id, index: 0 }` would take a picture that the pool made before.
const { images } = await limner.images.generate({ prompt, initImage: new Uint8Array(await readFile(source)), strength: 0.6, seed: 7 });
for (const image of images) await writeFile(file, await limner.gallery.bytes(image.id));
console.log(`${file}: ${images.length} picture`);

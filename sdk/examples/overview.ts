// What the pool can make, who makes it, and what it has made.
import { Limner } from '@limner/sdk';

const limner = new Limner({ baseUrl: process.env['LIMNER_URL'] ?? 'http://127.0.0.1:8787', apiKey: process.env['LIMNER_API_KEY'] ?? '' });
for (const model of await limner.models.list())
	console.log(`model ${model.name}: ${model.nativeWidth}×${model.nativeHeight}, ${model.nodes} node(s)`);
for (const node of await limner.nodes.list()) console.log(`node ${node.name}: ${node.link}, ${node.status}, ${node.slots.length} slot(s)`);
for await (const image of limner.gallery.all()) console.log(`picture ${image.id}: ${image.prompt}`);

/**
 * The little XML of S3 that the gateway reads and writes. Pure. Answers are machine-made and flat, so that a parser would be
 * more code than it saves.
 * @module
 */
import type { ListPage } from '../port.ts';

const ENTITIES: Record<string, string> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };

const unescape = (text: string): string =>
	text.replaceAll(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole: string, hex?: string, dec?: string, name?: string) => {
		if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
		if (dec !== undefined) return String.fromCodePoint(Number(dec));
		return ENTITIES[name ?? ''] ?? whole;
	});

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** Text of the first element of a name; `undefined` when there is none. */
export const elementText = (xml: string, name: string): string | undefined => {
	const found = new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];
	return found === undefined ? undefined : unescape(found);
};

const blocks = (xml: string, name: string): string[] =>
	Array.from(xml.matchAll(new RegExp(`<${name}>(.*?)</${name}>`, 'gs')), ([, inner = '']) => inner);

/** Answer to ListObjectsV2 with `encoding-type=url`. */
export const readList = (xml: string): ListPage => {
	const objects = blocks(xml, 'Contents').map((block) => ({
		key: decodeURIComponent((elementText(block, 'Key') ?? '').replaceAll('+', ' ')),
		size: Number(elementText(block, 'Size') ?? 0),
		uploaded: new Date(elementText(block, 'LastModified') ?? 0),
	}));
	const cursor = elementText(xml, 'NextContinuationToken');
	return elementText(xml, 'IsTruncated') === 'true' && cursor !== undefined ? { objects, cursor } : { objects };
};

/** Body of DeleteObjects. */
export const deleteBody = (keys: readonly string[]): string =>
	`<Delete><Quiet>true</Quiet>${keys.map((key) => `<Object><Key>${escape(key)}</Key></Object>`).join('')}</Delete>`;

/** Keys that DeleteObjects could not delete, with the store's reason. */
export const deleteErrors = (xml: string): { key: string; code: string }[] =>
	blocks(xml, 'Error').map((block) => ({ key: elementText(block, 'Key') ?? '', code: elementText(block, 'Code') ?? 'unknown' }));

/**
 * What client tests ask of pictures.
 * @module
 */
import sharp from 'sharp';

const gray = async (picture: Uint8Array): Promise<Buffer> => sharp(picture).resize(64, 64, { fit: 'fill' }).grayscale().raw().toBuffer();

const mean = (values: Buffer): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Pearson's correlation of two pictures' brightness, −1 to 1. */
export const correlation = async (one: Uint8Array, other: Uint8Array): Promise<number> => {
	const [a, b] = await Promise.all([gray(one), gray(other)]);
	const [ma, mb] = [mean(a), mean(b)];
	let [top, sa, sb] = [0, 0, 0];
	a.forEach((value, i) => {
		const [da, db] = [value - ma, (b[i] ?? 0) - mb];
		top += da * db;
		sa += da * da;
		sb += db * db;
	});
	return top / Math.sqrt(sa * sb);
};

/** Bytes of base64. */
export const decode = (base64: string | undefined): Buffer => Buffer.from(base64 ?? '', 'base64');

/** Bytes at an address. */
export const download = async (url: string): Promise<Buffer> => Buffer.from(await (await fetch(url)).arrayBuffer());

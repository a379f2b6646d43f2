/**
 * Pixels to files: the result PNG and the small preview.
 * @module
 */
import sharp, { type Sharp } from 'sharp';
import { insertTexts } from './chunks.ts';
import { recordTexts, type PictureRecord } from './record.ts';

const COMPRESSION_LEVEL = 6;
const PREVIEW_MAX_PX = 256;
const PREVIEW_QUALITY = 70;

export interface Pixels {
	/** 8-bit RGB, rows top to bottom. */
	rgb: Uint8Array;
	width: number;
	height: number;
}

const raw = ({ rgb, width, height }: Pixels): Sharp => sharp(rgb, { raw: { width, height, channels: 3 } });

/** An 8-bit RGB PNG that describes itself. The same pixels and record make the same bytes. */
export const encodePng = async (pixels: Pixels, record: PictureRecord): Promise<Uint8Array> => {
	const png = await raw(pixels).png({ compressionLevel: COMPRESSION_LEVEL, adaptiveFiltering: true, palette: false }).toBuffer();
	return insertTexts(png, recordTexts(record));
};

/** A JPEG of at most 256 px a side, blown up from a latent-sized picture. */
export const encodePreviewJpeg = async (pixels: Pixels): Promise<Uint8Array> =>
	raw(pixels).resize(PREVIEW_MAX_PX, PREVIEW_MAX_PX, { fit: 'inside', kernel: 'cubic' }).jpeg({ quality: PREVIEW_QUALITY }).toBuffer();

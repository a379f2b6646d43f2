/**
 * Pixels to files: the result PNG and the small preview.
 * @module
 */
import { REQUEST_LIMITS } from '@limner/shared';
import sharp, { type Sharp } from 'sharp';
import { insertTexts } from './chunks.ts';
import { infotext, recordTexts, type PictureRecord } from './record.ts';

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

/** File format of a result. */
export interface OutputOptions {
	format: 'png' | 'jpeg' | 'webp';
	/** 1..100, of JPEG and WebP. */
	quality?: number;
}

/** From this quality on, colour keeps the full resolution of the picture. */
const FULL_CHROMA_QUALITY = 90;

/** EXIF that names the software and holds the A1111 text, where other programs look for it. */
const exifOf = (record: PictureRecord) => ({
	IFD0: { Software: `limner ${record.version}`, ImageDescription: infotext(record) },
	IFD2: { UserComment: infotext(record) },
});

/**
 * A result in the format that was ordered, which describes itself: text chunks in a PNG, EXIF in JPEG and WebP. The same
 * pixels, record and options make the same bytes.
 */
export const encodePicture = async (
	pixels: Pixels,
	record: PictureRecord,
	output: OutputOptions = { format: 'png' },
): Promise<Uint8Array> => {
	const { format, quality = REQUEST_LIMITS.outputQualityDefault } = output;
	if (format === 'png') return encodePng(pixels, record);
	const image = raw(pixels).withExif(exifOf(record));
	if (format === 'webp') return image.webp({ quality }).toBuffer();
	return image.jpeg({ quality, chromaSubsampling: quality >= FULL_CHROMA_QUALITY ? '4:4:4' : '4:2:0' }).toBuffer();
};

/** A JPEG of at most 256 px a side, blown up from a latent-sized picture. */
export const encodePreviewJpeg = async (pixels: Pixels): Promise<Uint8Array> =>
	raw(pixels).resize(PREVIEW_MAX_PX, PREVIEW_MAX_PX, { fit: 'inside', kernel: 'cubic' }).jpeg({ quality: PREVIEW_QUALITY }).toBuffer();

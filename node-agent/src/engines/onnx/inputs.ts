/**
 * Reads the pictures that a caller sent. They are hostile until decoded: size and kind are bounded first.
 * @module
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { BODY_LIMITS } from '@limner/shared';
import sharp, { type Sharp } from 'sharp';
import type { GrayImage, RgbImage } from '../../diffusion/latents.ts';
import { errorCode } from '../../lib/user-error.ts';
import { EngineError } from '../types.ts';

const MAX_PIXELS = BODY_LIMITS.assetMaxPx ** 2;

const open = (bytes: Uint8Array): Sharp => sharp(bytes, { limitInputPixels: MAX_PIXELS, failOn: 'error' }).autoOrient();

const read = async (path: string, what: string): Promise<{ bytes: Uint8Array; sha256: string }> => {
	try {
		const bytes = await readFile(path);
		return { bytes, sha256: createHash('sha256').update(bytes).digest('hex') };
	} catch (error) {
		throw new EngineError('invalid', `The ${what} ${path} cannot be read (${errorCode(error) ?? 'unknown error'}).`, error);
	}
};

const undecodable = (what: string, error: unknown): EngineError =>
	new EngineError('invalid', `The ${what} is not a picture that can be read (PNG, JPEG or WebP up to 4096 × 4096).`, error);

/** Input picture as 8-bit RGB, upright; transparency is laid on white. */
export const readInitImage = async (path: string): Promise<{ image: RgbImage; sha256: string }> => {
	const { bytes, sha256 } = await read(path, 'input picture');
	try {
		const { data, info } = await open(bytes)
			.flatten({ background: '#ffffff' })
			.toColourspace('srgb')
			.raw()
			.toBuffer({ resolveWithObject: true });
		return { image: { rgb: toRgb(data, info.channels), width: info.width, height: info.height }, sha256 };
	} catch (error) {
		throw undecodable('input picture', error);
	}
};

const toRgb = (data: Uint8Array, channels: number): Uint8Array => {
	if (channels === 3) return new Uint8Array(data);
	const pixels = data.length / channels;
	const rgb = new Uint8Array(pixels * 3);
	for (let i = 0; i < pixels; i++) rgb.fill(data[i * channels] ?? 0, i * 3, i * 3 + 3);
	return rgb;
};

/** Mask: with any transparency, transparent = repaint; else luminance, white = repaint. */
export const readMaskImage = async (path: string): Promise<{ mask: GrayImage; sha256: string }> => {
	const { bytes, sha256 } = await read(path, 'mask');
	try {
		const image = open(bytes);
		const { hasAlpha } = await image.metadata();
		if (hasAlpha) {
			const { data, info } = await image.clone().extractChannel('alpha').raw().toBuffer({ resolveWithObject: true });
			if (data.some((value) => value < 255)) {
				return { mask: { gray: Uint8Array.from(data, (value) => 255 - value), width: info.width, height: info.height }, sha256 };
			}
		}
		const { data, info } = await image.clone().removeAlpha().toColourspace('b-w').raw().toBuffer({ resolveWithObject: true });
		const gray =
			info.channels === 1
				? new Uint8Array(data)
				: Uint8Array.from({ length: info.width * info.height }, (_, i) => data[i * info.channels] ?? 0);
		return { mask: { gray, width: info.width, height: info.height }, sha256 };
	} catch (error) {
		throw undecodable('mask', error);
	}
};

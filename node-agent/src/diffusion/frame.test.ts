import { expect, test } from 'vitest';
import { cropRgb, extendGray, extendRgb, frameFor } from './frame.ts';

test('a size that fits needs no frame', () => {
	expect(frameFor(128, 64, 32)).toEqual({ width: 128, height: 64, left: 0, top: 0 });
});

test('extending and cutting out again gives the same picture', () => {
	const frame = frameFor(3, 2, 8);
	expect(frame).toEqual({ width: 8, height: 8, left: 2, top: 3 });
	const image = { rgb: Uint8Array.from({ length: 18 }, (_, i) => i), width: 3, height: 2 };
	const large = extendRgb(image, frame);
	expect(large.rgb.length).toBe(8 * 8 * 3);
	expect(cropRgb(large, frame, 3, 2)).toEqual(image);
	// the border repeats outwards
	expect(Array.from(large.rgb.slice(0, 3))).toEqual([0, 1, 2]);
	expect(Array.from(large.rgb.slice(-3))).toEqual([15, 16, 17]);
	const mask = extendGray({ gray: Uint8Array.of(255, 0, 0, 0, 0, 0), width: 3, height: 2 }, frame);
	expect(mask.gray[0]).toBe(255);
	expect(mask.gray.at(-1)).toBe(0);
});

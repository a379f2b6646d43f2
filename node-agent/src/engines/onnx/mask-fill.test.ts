import { expect, it } from 'vitest';
import { fillAround, invertMask } from './mask-fill.ts';

const SIZE = 33;
const at = (x: number, y: number): number => (y * SIZE + x) * 3;
/** Red on the left, blue on the right, and a green square that the mask covers. */
const image = { width: SIZE, height: SIZE, rgb: new Uint8Array(SIZE * SIZE * 3) };
const mask = { width: SIZE, height: SIZE, gray: new Uint8Array(SIZE * SIZE) };
for (let y = 0; y < SIZE; y++) {
	for (let x = 0; x < SIZE; x++) {
		const inside = x >= 8 && x < 24 && y >= 8 && y < 24;
		image.rgb.set(inside ? [0, 255, 0] : x < SIZE / 2 ? [255, 0, 0] : [0, 0, 255], at(x, y));
		mask.gray[y * SIZE + x] = inside ? 255 : 0;
	}
}

it('carries the colours around a mask into it, and keeps the rest as it was', () => {
	const filled = fillAround(image, mask);
	const pixels = ({ rgb }: { rgb: Uint8Array }) => Array.from(mask.gray, (_, i) => [...rgb.subarray(i * 3, i * 3 + 3)]);
	const kept = (_: unknown, i: number): boolean => mask.gray[i] === 0;
	expect(pixels(filled).filter(kept)).toEqual(pixels(image).filter(kept));
	expect(pixels(filled).every(([, green]) => green === 0)).toBe(true);
	const [left, right] = [at(9, 16), at(22, 16)];
	expect(filled.rgb[left]).toBeGreaterThan(filled.rgb[left + 2] ?? 0);
	expect(filled.rgb[right + 2]).toBeGreaterThan(filled.rgb[right] ?? 0);
});

it('takes a mask of another size, and one that covers everything', () => {
	const small = { width: 3, height: 3, gray: Uint8Array.of(0, 255, 255, 255, 255, 255, 255, 255, 255) };
	// Only the red corner is known.
	expect([...fillAround(image, small).rgb.subarray(at(30, 30), at(30, 30) + 3)].toSorted((a, b) => b - a)[0]).toBe(
		fillAround(image, small).rgb[at(30, 30)],
	);
	const all = { ...mask, gray: new Uint8Array(SIZE * SIZE).fill(255) };
	expect([...fillAround(image, all).rgb.subarray(0, 3)]).toEqual([127, 127, 127]);
});

it('turns a mask round', () => {
	expect([...invertMask({ width: 2, height: 1, gray: Uint8Array.of(0, 200) }).gray]).toEqual([255, 55]);
});

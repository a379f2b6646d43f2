import { expect, test } from 'vitest';
import { InferenceError } from './errors.ts';
import {
	binarize,
	blankMasked,
	imageToTensor,
	pasteOriginal,
	previewLatents,
	resizeGray,
	resizeRgb,
	shrinkMask,
	tensorToImage,
} from './latents.ts';
import { TorchGenerator } from './noise.ts';
import { fitPreview } from './preview-fit.ts';
import { builtInPreview } from './preview-maps.ts';

const image = { rgb: Uint8Array.from({ length: 4 * 2 * 3 }, (_, i) => (i * 37) % 256), width: 4, height: 2 };

test('bytes survive the way to a tensor and back; out-of-range values are clamped, NaN is refused', () => {
	expect(tensorToImage(imageToTensor(image), 4, 2)).toEqual(image);
	expect(Array.from(tensorToImage(Float32Array.of(-9, 0, 9), 1, 1).rgb)).toEqual([0, 128, 255]);
	expect(() => tensorToImage(Float32Array.of(Number.NaN, 0, 0), 1, 1)).toThrow(InferenceError);
});

test('masks: half and above repaints, latents take the top left pixel of their cell', () => {
	const mask = binarize({ gray: Uint8Array.of(127, 128, 255, 0), width: 2, height: 2 });
	expect(Array.from(mask)).toEqual([0, 1, 1, 0]);
	const wide = Float32Array.from({ length: 16 }, (_, i) => (i === 2 ? 1 : 0));
	expect(Array.from(shrinkMask(wide, 4, 4, 2))).toEqual([0, 1, 0, 0]);
	expect(Array.from(blankMasked(Float32Array.of(5, 6, 7, 8, 9, 10), Float32Array.of(1, 0)))).toEqual([0, 6, 0, 8, 0, 10]);
});

test('pasting keeps original pixels exactly where the mask says keep', () => {
	const made = { rgb: new Uint8Array(24).fill(9), width: 4, height: 2 };
	pasteOriginal(made, image, Float32Array.of(1, 0, 1, 1, 1, 1, 1, 1));
	expect(Array.from(made.rgb.slice(3, 6))).toEqual(Array.from(image.rgb.slice(3, 6)));
	expect(Array.from(made.rgb.slice(0, 3))).toEqual([9, 9, 9]);
});

test('resizing reaches the asked size and leaves fitting pictures alone', async () => {
	expect(await resizeRgb(image, 4, 2)).toBe(image);
	expect((await resizeRgb(image, 9, 5)).rgb.length).toBe(9 * 5 * 3);
	const gray = await resizeGray({ gray: new Uint8Array(8).fill(200), width: 4, height: 2 }, 6, 6);
	expect(Array.from(gray.gray)).toEqual(Array.from({ length: 36 }, () => 200));
});

test('a fitted preview map recovers a linear decoder', () => {
	const [w, h] = [6, 6];
	const latents = new TorchGenerator(1).randn(2 * w * h);
	const truth = {
		factors: [
			[0.2, -0.1, 0.05],
			[0.1, 0.15, -0.2],
		],
		bias: [0.1, 0, -0.1],
	};
	const small = previewLatents(latents, w, h, truth);
	const fitted = fitPreview([{ latents, width: w, height: h, image: small }], 2);
	fitted.factors.flat().forEach((v, i) => expect(v).toBeCloseTo(truth.factors.flat()[i] as number, 2));
	fitted.bias.forEach((v, i) => expect(v).toBeCloseTo(truth.bias[i] as number, 2));
});

test('tables exist only for the autoencoders that they were made for', () => {
	expect(builtInPreview('sd', 'AutoencoderKL', 4)?.factors.length).toBe(4);
	expect(builtInPreview('sdxl', 'AutoencoderKL', 4)).not.toEqual(builtInPreview('sd', 'AutoencoderKL', 4));
	expect(builtInPreview('sd', 'AutoencoderTiny', 4)).toBeNull();
	expect(builtInPreview('sd3', 'AutoencoderKL', 16)).toBeNull();
});

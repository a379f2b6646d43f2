/**
 * Fits a model's latent preview: `node fit-preview.ts <model folder> <output.json> [pictures]`.
 * Makes pictures with the model from prompts of its own scope (or general ones), regresses colours on final latents,
 * and writes {factors, bias, r2}.
 */
import { writeFile } from 'node:fs/promises';
import { previewLatents, type PreviewMap } from './latents.ts';
import { DiffusionPipeline } from './pipeline.ts';
import { fitPreview, type PreviewSample } from './preview-fit.ts';

const PROMPTS = [
	'a red castle in the mountains in the snow',
	'a lighthouse on a cliff at sunset',
	'a cottage in a forest at night under a full moon',
	'a yellow hot air balloon over the sea',
	'an orange tent in the desert at dusk',
	'a purple windmill in a meadow with flowers',
	'a white sailboat on a lake at dawn',
	'a green tower on an island in the rain',
];
const STEPS = 12;

async function samplesOf(pipeline: DiffusionPipeline, count: number): Promise<PreviewSample[]> {
	const { nativeWidth: width, nativeHeight: height, defaults } = pipeline.info;
	const samples: PreviewSample[] = [];
	for (let i = 0; i < count; i++) {
		const prompt = PROMPTS[i % PROMPTS.length] as string;
		const common = { task: 'txt2img', negativePrompt: null, width, height, guidance: Math.min(defaults.guidance, 5), n: 1 } as const;
		const { images } = await pipeline.generate({ ...common, prompt, steps: Math.min(STEPS, defaults.steps), seed: i });
		const [image] = images;
		if (image === undefined) continue;
		const [, , h = 0, w = 0] = image.latentsShape;
		samples.push({ latents: image.latents, width: w, height: h, image });
	}
	return samples;
}

/** Share of the colour variance that the map explains over the pictures it was fitted to; 1 is perfect. */
function explained(samples: readonly PreviewSample[], map: PreviewMap): number {
	let residual = 0;
	let total = 0;
	for (const { latents, width, height, image } of samples) {
		const { rgb } = previewLatents(latents, width, height, map);
		const factor = image.width / width;
		const values = Float64Array.from(rgb, (_, k) => cellMean(image.rgb, image.width, factor, k, width));
		const mean = values.reduce((a, b) => a + b, 0) / values.length;
		values.forEach((v, k) => {
			residual += (v - (rgb[k] as number)) ** 2;
			total += (v - mean) ** 2;
		});
	}
	return 1 - residual / total;
}

function cellMean(rgb: Uint8Array, stride: number, factor: number, k: number, width: number): number {
	const cell = Math.floor(k / 3);
	let sum = 0;
	for (let dy = 0; dy < factor; dy++) {
		for (let dx = 0; dx < factor; dx++) {
			const pixel = (Math.floor(cell / width) * factor + dy) * stride + (cell % width) * factor + dx;
			sum += rgb[pixel * 3 + (k % 3)] as number;
		}
	}
	return sum / (factor * factor);
}

function round(v: number): number {
	return Number(v.toFixed(5));
}

const [modelDir, output, pictures = '48'] = process.argv.slice(2);
if (modelDir === undefined || output === undefined) {
	console.error('usage: node fit-preview.ts <model folder> <output.json> [pictures]');
	process.exitCode = 2;
} else {
	const pipeline = await DiffusionPipeline.load(modelDir);
	const samples = await samplesOf(pipeline, Number(pictures));
	const [first] = samples;
	const channels = first === undefined ? 4 : first.latents.length / (first.width * first.height);
	const map = fitPreview(samples, channels);
	const r2 = round(explained(samples, map));
	await writeFile(output, `${JSON.stringify({ factors: map.factors.map((r) => r.map(round)), bias: map.bias.map(round), r2 })}\n`);
	console.log(`${output}: ${samples.length} pictures, R² ${r2}`);
	await pipeline.release();
}

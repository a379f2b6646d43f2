import { vaeFactor, type ComponentConfig } from '../../models/layout.ts';
import { InferenceError } from '../errors.ts';
import type { NoiseSource } from '../noise.ts';
import type { ModelSession } from '../session.ts';
import { convertTiled, DEFAULT_TILE_CELLS, MIN_TILE_CELLS, TILE_ABOVE_PX, type Planes } from './vae-tiles.ts';

/** Bounds of the encoder's log-variance, as in the reference autoencoder. */
const LOGVAR_MIN = -30;
const LOGVAR_MAX = 20;

/** Used only for exports whose config lacks the numbers. */
const FALLBACK_SCALE: Readonly<Record<string, { scale: number; shift: number }>> = {
	sd: { scale: 0.18215, shift: 0 },
	sdxl: { scale: 0.13025, shift: 0 },
	sd3: { scale: 1.5305, shift: 0.0609 },
};

/** What an autoencoder may fall back on. */
export interface VaeOptions {
	/** Opens a decoder that computes in float32; null where there is none beside the usual one. */
	openFallback?: (() => Promise<ModelSession>) | null;
	/** Pictures of more pixels than this are decoded in tiles. */
	tileAbovePx?: number;
}

/**
 * Where a decoder that overflowed can be run again: a float32 export beside it, else the same file on the CPU, which
 * computes half-precision graphs in float32; null when neither would be different.
 */
export function decoderFallback(providers: readonly string[], hasFullExport: boolean): 'full-export' | 'same-file-on-cpu' | null {
	if (hasFullExport) return 'full-export';
	return providers.every((name) => name === 'cpu') ? null : 'same-file-on-cpu';
}

function isFinite(x: Float32Array): boolean {
	return x.every(Number.isFinite);
}

/** An autoencoder between pixels and the latents that the denoiser works on. */
export class Vae {
	readonly channels: number;
	/** Pixels per latent cell and direction. */
	readonly factor: number;
	readonly className: string;
	readonly #scale: number;
	readonly #shift: number;
	readonly #mean: readonly number[] | null;
	readonly #std: readonly number[] | null;
	readonly #openEncoder: () => Promise<ModelSession>;
	readonly #openFallback: (() => Promise<ModelSession>) | null;
	readonly #tileAbovePx: number;
	readonly #tileCells: number;
	/** What the encoder said of a picture: all pictures of a job start from the same one. */
	readonly #encoded = new WeakMap<Float32Array, Float32Array>();
	#decoder: ModelSession;
	#fellBack = false;

	constructor(
		config: ComponentConfig,
		family: string,
		decoder: ModelSession,
		openEncoder: () => Promise<ModelSession>,
		options: VaeOptions = {},
	) {
		const fallback = FALLBACK_SCALE[family] ?? { scale: 1, shift: 0 };
		this.className = typeof config['_class_name'] === 'string' ? config['_class_name'] : 'AutoencoderKL';
		this.channels = config.latent_channels ?? 4;
		this.factor = vaeFactor(config);
		this.#scale = config.scaling_factor ?? fallback.scale;
		this.#shift = config.shift_factor ?? (config.scaling_factor === undefined ? fallback.shift : 0);
		this.#mean = config.latents_mean ?? null;
		this.#std = config.latents_std ?? null;
		this.#decoder = decoder;
		this.#openEncoder = openEncoder;
		this.#openFallback = options.openFallback ?? null;
		this.#tileAbovePx = options.tileAbovePx ?? TILE_ABOVE_PX;
		this.#tileCells = tileCells(config, this.factor);
	}

	/** Whether decoding had to be repeated in float32; from then on it always runs there. */
	get fellBack(): boolean {
		return this.#fellBack;
	}

	/**
	 * Latents [1, C, h, w] → pixels [3, H, W], about [−1, 1].
	 * @param shifted false leaves the autoencoder's shift out
	 * @throws InferenceError when the latents or the pixels are not finite, whatever decoder is tried
	 */
	async decode(latents: Float32Array, height: number, width: number, shifted = true): Promise<Float32Array> {
		if (!isFinite(latents)) {
			throw new InferenceError(
				'The denoiser returned values that are not finite numbers; use a float32 export of the model or another device.',
			);
		}
		const shift = shifted ? this.#shift : 0;
		const values = this.#perChannel(latents, (z, mean, std) => (z * std) / this.#scale + shift + mean);
		const planes = { values, channels: this.channels, height, width };
		const pixels = await this.#decodePlanes(planes);
		if (isFinite(pixels)) return pixels;
		if (this.#openFallback !== null && !this.#fellBack) {
			this.#decoder = await this.#openFallback();
			this.#fellBack = true;
			const again = await this.#decodePlanes(planes);
			if (isFinite(again)) return again;
		}
		throw new InferenceError(
			'The decoder returned values that are not finite numbers; put a float32 export beside it as vae_decoder/model_fp32.onnx, or use another device.',
		);
	}

	async #decodePlanes(planes: Planes): Promise<Float32Array> {
		const decoder = this.#decoder;
		const [name = 'latent_sample'] = decoder.inputs.keys();
		const output = decoder.outputNames[0] as string;
		const run = async (part: Planes): Promise<Float32Array> => {
			const input = decoder.bind(name, part.values, [1, part.channels, part.height, part.width]);
			return (await decoder.run({ [name]: input.tensor }, [output])).get(output) as Float32Array;
		};
		const small = planes.height * planes.width * this.factor ** 2 <= this.#tileAbovePx;
		return small ? run(planes) : convertTiled(planes, this.#tileCells, { source: 1, result: this.factor }, 3, run);
	}

	/**
	 * Pixels [3, H, W] in [−1, 1] → latents [C, h, w]. Encoders that give mean and log-variance are sampled with
	 * `noise` (Kingma & Welling 2014, §2.4); those that give latents are deterministic and draw nothing.
	 */
	async encode(pixels: Float32Array, height: number, width: number, noise: NoiseSource): Promise<Float32Array> {
		const encoder = await this.#openEncoder();
		const raw = this.#encoded.get(pixels) ?? (await this.#encodePlanes(encoder, { values: pixels, channels: 3, height, width }));
		this.#encoded.set(pixels, raw);
		const size = this.latentSize(height, width);
		const sampled = raw.length === 2 * size ? sampleGaussian(raw, size, noise.randn(size)) : raw;
		return this.#perChannel(sampled, (z, mean, std) => ((z - this.#shift - mean) * this.#scale) / std);
	}

	async #encodePlanes(encoder: ModelSession, planes: Planes): Promise<Float32Array> {
		const [name = 'sample'] = encoder.inputs.keys();
		const output = encoder.outputNames[0] as string;
		const run = async (part: Planes): Promise<Float32Array> => {
			const input = encoder.bind(name, part.values, [1, 3, part.height, part.width]);
			return (await encoder.run({ [name]: input.tensor }, [output])).get(output) as Float32Array;
		};
		if (planes.height * planes.width <= this.#tileAbovePx) return run(planes);
		const channels = (await this.drawsOnEncode()) ? 2 * this.channels : this.channels;
		return convertTiled(planes, this.#tileCells, { source: this.factor, result: 1 }, channels, run);
	}

	/** Whether `encode` consumes as many normals as the latents have elements. */
	async drawsOnEncode(): Promise<boolean> {
		const encoder = await this.#openEncoder();
		return encoder.outputNames.includes('latent_parameters');
	}

	/** Numbers in the latents of a picture. */
	latentSize(height: number, width: number): number {
		return (this.channels * height * width) / (this.factor * this.factor);
	}

	#perChannel(z: Float32Array, map: (value: number, mean: number, std: number) => number): Float32Array {
		const plane = z.length / this.channels;
		return z.map((v, i) => {
			const c = Math.floor(i / plane);
			return map(v, this.#mean?.[c] ?? 0, this.#std?.[c] ?? 1);
		});
	}
}

/** Latent cells per side of a tile: the picture size that the autoencoder was trained on. */
function tileCells(config: ComponentConfig, factor: number): number {
	const cells = config.sample_size === undefined ? DEFAULT_TILE_CELLS : Math.floor(config.sample_size / factor);
	return Math.max(cells, MIN_TILE_CELLS);
}

function sampleGaussian(parameters: Float32Array, size: number, draw: Float32Array): Float32Array {
	return draw.map((e, i) => {
		const logvar = Math.min(LOGVAR_MAX, Math.max(LOGVAR_MIN, parameters[size + i] as number));
		return (parameters[i] as number) + Math.exp(0.5 * logvar) * e;
	});
}

/** Something that yields standard normal numbers in a fixed order. */
export interface NoiseSource {
	/** Fills a new array with `count` draws from N(0, 1). */
	randn(count: number): Float32Array;
}

const STATE_SIZE = 624;
const SHIFT_SIZE = 397;
const MATRIX_A = 0x9908b0df;
const UPPER_MASK = 0x80000000;
const LOWER_MASK = 0x7fffffff;
/** Length from which torch fills normals in blocks of 16 instead of one by one. */
const BLOCK_FILL_FROM = 16;

/**
 * Replica of torch's CPU generator for float32 `torch.randn`: MT19937 (Matsumoto & Nishimura 1998) and both of torch's
 * Box–Muller paths (ATen `DistributionTemplates.h` `normal_fill`, `DistributionsHelper.h` `normal_distribution`).
 * Equal to torch up to the last digits of the float32 logarithm and cosine.
 */
export class TorchGenerator implements NoiseSource {
	readonly #state = new Uint32Array(STATE_SIZE);
	#next = STATE_SIZE;
	#cachedNormal: number | null = null;

	/** @param seed any 64-bit seed; torch seeds its Mersenne Twister with the low 32 bits only, negative seeds wrap. */
	constructor(seed: bigint | number) {
		const s = this.#state;
		s[0] = Number(BigInt.asUintN(32, BigInt(seed)));
		for (let i = 1; i < STATE_SIZE; i++) {
			const previous = s[i - 1] as number;
			s[i] = Math.imul(1812433253, previous ^ (previous >>> 30)) + i;
		}
	}

	randn(count: number): Float32Array {
		const out = new Float32Array(count);
		if (count < BLOCK_FILL_FROM) {
			for (let i = 0; i < count; i++) out[i] = this.#normal();
			return out;
		}
		for (let i = 0; i < count; i++) out[i] = this.#uniform24();
		for (let i = 0; i + 16 <= count; i += 16) boxMullerBlock(out, i);
		if (count % 16 !== 0) {
			// torch redraws the whole last block when the length is not a multiple of 16
			const start = count - 16;
			for (let i = start; i < count; i++) out[i] = this.#uniform24();
			boxMullerBlock(out, start);
		}
		return out;
	}

	/** Next 32 bits of MT19937. */
	uint32(): number {
		if (this.#next === STATE_SIZE) this.#twist();
		let y = this.#state[this.#next++] as number;
		y ^= y >>> 11;
		y ^= (y << 7) & 0x9d2c5680;
		y ^= (y << 15) & 0xefc60000;
		y ^= y >>> 18;
		return y >>> 0;
	}

	#twist(): void {
		const s = this.#state;
		for (let i = 0; i < STATE_SIZE; i++) {
			const next = s[(i + 1) % STATE_SIZE] as number;
			const mixed = ((s[i] as number) & UPPER_MASK) | (next & LOWER_MASK);
			const far = s[(i + SHIFT_SIZE) % STATE_SIZE] as number;
			s[i] = far ^ (mixed >>> 1) ^ ((next & 1) === 1 ? MATRIX_A : 0);
		}
		this.#next = 0;
	}

	/** Uniform in [0, 1) with 24 random bits, as torch draws a float32. */
	#uniform24(): number {
		return (this.uint32() & 0xffffff) * 2 ** -24;
	}

	/** Uniform in [0, 1) with 53 random bits; the high word is drawn first. */
	#uniform53(): number {
		const high = this.uint32() & 0x1fffff;
		return (high * 2 ** 32 + this.uint32()) * 2 ** -53;
	}

	/** Double-precision Box–Muller; the second value is kept for the next scalar draw, also across calls. */
	#normal(): number {
		const cached = this.#cachedNormal;
		if (cached !== null) {
			this.#cachedNormal = null;
			return cached;
		}
		const u1 = this.#uniform53();
		const radius = Math.sqrt(-2 * Math.log1p(-this.#uniform53()));
		this.#cachedNormal = radius * Math.sin(2 * Math.PI * u1);
		return radius * Math.cos(2 * Math.PI * u1);
	}
}

/** Turns 16 uniforms at `start` into 16 normals: elements j and j+8 form one Box–Muller pair. */
function boxMullerBlock(x: Float32Array, start: number): void {
	for (let j = start; j < start + 8; j++) {
		// 1−u is exact in float32 for 24-bit u and never 0, so the logarithm is finite
		const radius = Math.sqrt(-2 * Math.log(1 - (x[j] as number)));
		const angle = 2 * Math.PI * (x[j + 8] as number);
		x[j] = radius * Math.cos(angle);
		x[j + 8] = radius * Math.sin(angle);
	}
}

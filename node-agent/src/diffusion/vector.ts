/**
 * Small dense kernels on Float32Array. Sums are formed in float64 and rounded once on store, which is at least as
 * accurate as the float32 arithmetic of the reference. Every `out` may alias an input.
 */

/** out = a·x. */
export function scale(out: Float32Array, a: number, x: Float32Array): void {
	for (let i = 0; i < out.length; i++) out[i] = a * (x[i] as number);
}

/** out = a·x + b·y. */
export function mix2(out: Float32Array, a: number, x: Float32Array, b: number, y: Float32Array): void {
	for (let i = 0; i < out.length; i++) out[i] = a * (x[i] as number) + b * (y[i] as number);
}

/** One term of a linear combination: coefficient and vector. */
export type Term = readonly [coefficient: number, vector: Float32Array];

/** out = Σ cₖ·vₖ. Terms with coefficient 0 are skipped, so a 0·∞ never turns into NaN. */
export function combine(out: Float32Array, terms: readonly Term[]): void {
	const used = terms.filter(([c]) => c !== 0);
	const [first, second, third] = used;
	if (first === undefined) out.fill(0);
	else if (second === undefined) scale(out, first[0], first[1]);
	else if (third === undefined) mix2(out, first[0], first[1], second[0], second[1]);
	else {
		for (let i = 0; i < out.length; i++) {
			let sum = 0;
			for (const [c, v] of used) sum += c * (v[i] as number);
			out[i] = sum;
		}
	}
}

/** Limits every element to [−bound, bound]. */
export function clamp(x: Float32Array, bound: number): void {
	for (let i = 0; i < x.length; i++) x[i] = Math.min(bound, Math.max(-bound, x[i] as number));
}

/** Standard deviation with n−1 in the denominator (torch's default), in float64. */
export function unbiasedStd(x: Float32Array): number {
	let mean = 0;
	for (const v of x) mean += v;
	mean /= x.length;
	let sum = 0;
	for (const v of x) sum += (v - mean) ** 2;
	return Math.sqrt(sum / (x.length - 1));
}

/**
 * Dynamic thresholding of Imagen (Saharia et al. 2022, §2.3): s = the given quantile of |x|, at least 1 and at most
 * `maximum`; x ← clip(x, −s, s)/s. Used only by models whose scheduler config asks for it.
 */
export function dynamicThreshold(x: Float32Array, quantile: number, maximum: number): void {
	const sorted = x.map(Math.abs).toSorted();
	const at = quantile * (sorted.length - 1);
	const low = sorted[Math.floor(at)] ?? 0;
	const high = sorted[Math.ceil(at)] ?? low;
	const s = Math.min(maximum, Math.max(1, low + (high - low) * (at - Math.floor(at))));
	clamp(x, s);
	scale(x, 1 / s, x);
}

/** Conversions between float32 and IEEE 754 binary16 held as raw bits. */

const bits32 = new Uint32Array(1);
const value32 = new Float32Array(bits32.buffer);

/** Bits of the half nearest to x, ties to even; too large becomes infinity. */
export function toHalfBits(x: number): number {
	value32[0] = x;
	const bits = bits32[0] as number;
	const sign = (bits >>> 16) & 0x8000;
	const magnitude = bits & 0x7fffffff;
	if (magnitude > 0x7f800000) return sign | 0x7e00;
	if (magnitude >= 0x47800000) return sign | 0x7c00;
	if (magnitude < 0x38800000) {
		// subnormal half: adding ½ ulp-aligned 2⁻¹ lets the float32 adder do the rounding
		value32[0] = Math.abs(x) + 0.5;
		return sign | ((bits32[0] as number) - 0x3f000000);
	}
	const odd = (magnitude >>> 13) & 1;
	return sign | ((magnitude - 0x38000000 + 0xfff + odd) >>> 13);
}

/** Value of a half given by its bits. */
export function fromHalfBits(h: number): number {
	const exponent = (h >>> 10) & 0x1f;
	const fraction = h & 0x3ff;
	const sign = (h & 0x8000) === 0 ? 1 : -1;
	if (exponent === 0) return sign * fraction * 2 ** -24;
	if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
	return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Rounds float32 values into half bits; `out` has the same length. */
export function encodeHalf(x: Float32Array, out: Uint16Array): void {
	for (let i = 0; i < x.length; i++) out[i] = toHalfBits(x[i] as number);
}

/** Writes the float32 values of half bits into `out` of the same length, and returns it. */
export function decodeHalf(bits: Uint16Array, out: Float32Array): Float32Array {
	for (let i = 0; i < bits.length; i++) out[i] = fromHalfBits(bits[i] as number);
	return out;
}

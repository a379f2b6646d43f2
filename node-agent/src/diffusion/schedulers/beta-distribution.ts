/** ln Γ(x) by the Lanczos approximation (g = 7, n = 9); relative error below 1e-14 for x > 0. */
function logGamma(x: number): number {
	const coefficients = [
		0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905,
		-0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
	];
	if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
	const z = x - 1;
	const t = z + 7.5;
	const sum = coefficients.reduce((s, c, i) => (i === 0 ? c : s + c / (z + i)), 0);
	return 0.5 * Math.log(2 * Math.PI) + (z + 0.5) * Math.log(t) - t + Math.log(sum);
}

/** Continued fraction of the incomplete beta function (DLMF 8.17.22), modified Lentz evaluation. */
function betaFraction(x: number, a: number, b: number): number {
	const tiny = 1e-300;
	const guard = (v: number): number => (Math.abs(v) < tiny ? tiny : v);
	let c = 1;
	let d = 1 / guard(1 - ((a + b) * x) / (a + 1));
	let h = d;
	for (let m = 1; m <= 300; m++) {
		const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
		d = 1 / guard(1 + even * d);
		c = guard(1 + even / c);
		h *= d * c;
		const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
		d = 1 / guard(1 + odd * d);
		c = guard(1 + odd / c);
		h *= d * c;
		if (Math.abs(d * c - 1) < 1e-15) break;
	}
	return h;
}

/** Regularised incomplete beta function I_x(a, b), the distribution function of Beta(a, b). */
export function betaCdf(x: number, a: number, b: number): number {
	if (x <= 0) return 0;
	if (x >= 1) return 1;
	const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
	// the fraction converges fast only below the mean, so use I_x(a,b) = 1 − I_{1−x}(b,a) above it
	return x < (a + 1) / (a + b + 2) ? (front * betaFraction(x, a, b)) / a : 1 - (front * betaFraction(1 - x, b, a)) / b;
}

/** Quantile of Beta(a, b): the x with I_x(a, b) = p, by bisection to double precision. */
export function betaQuantile(p: number, a: number, b: number): number {
	if (p <= 0) return 0;
	if (p >= 1) return 1;
	let low = 0;
	let high = 1;
	for (let i = 0; i < 80; i++) {
		const middle = (low + high) / 2;
		if (betaCdf(middle, a, b) < p) low = middle;
		else high = middle;
	}
	return (low + high) / 2;
}

/**
 * A model small enough to be part of the code, of what image models are made of: convolution, SiLU, transposition, matrix
 * product, softmax (ONNX opset 17, float32, fixed shapes, 312 weights). Its output is known, so that a device is judged by
 * what it computes.
 * @module
 */

/** The ONNX file in base64. */
export const PROBE_MODEL = [
	'CAgSBmxpbW5lcjr9Bwo8CgF4CgF3CgFiEgFjIgRDb252KhUKDGtlcm5lbF9zaGFwZUADQAOgAQcqEQoEcGFkc0ABQAFAAUABoAEHCg8KAWMSAXMiB1NpZ21v',
	'aWQKDgoBYwoBcxIBYSIDTXVsCiQKAWESAXQiCVRyYW5zcG9zZSoRCgRwZXJtQABAAkADQAGgAQcKEQoBdAoBbRIBcSIGTWF0TXVsCiUKAXESAXkiB1NvZnRt',
	'YXgqFAoEYXhpcxj///////////8BoAECEgVwcm9iZSrQBAgECAQIAwgDEAFCAXdKwAQAAAC/AACgvgAAAL4AAIA9AACAPgAA4D4AAOC+AACAvgAAgL0AAAA+',
	'AACgPgAAAD8AAMC+AABAvgAAAAAAAEA+AADAPgAAAL8AAKC+AAAAvgAAgD0AAIA+AADgPgAA4L4AAIC+AACAvQAAAD4AAKA+AAAAPwAAwL4AAEC+AAAAAAAA',
	'QD4AAMA+AAAAvwAAoL4AAAC+AACAPQAAgD4AAOA+AADgvgAAgL4AAIC9AAAAPgAAoD4AAAA/AADAvgAAQL4AAAAAAABAPgAAwD4AAAC/AACgvgAAAL4AAIA9',
	'AACAPgAA4D4AAOC+AACAvgAAgL0AAAA+AACgPgAAAD8AAMC+AABAvgAAAAAAAEA+AADAPgAAAL8AAKC+AAAAvgAAgD0AAIA+AADgPgAA4L4AAIC+AACAvQAA',
	'AD4AAKA+AAAAPwAAwL4AAEC+AAAAAAAAQD4AAMA+AAAAvwAAoL4AAAC+AACAPQAAgD4AAOA+AADgvgAAgL4AAIC9AAAAPgAAoD4AAAA/AADAvgAAQL4AAAAA',
	'AABAPgAAwD4AAAC/AACgvgAAAL4AAIA9AACAPgAA4D4AAOC+AACAvgAAgL0AAAA+AACgPgAAAD8AAMC+AABAvgAAAAAAAEA+AADAPgAAAL8AAKC+AAAAvgAA',
	'gD0AAIA+AADgPgAA4L4AAIC+AACAvQAAAD4AAKA+AAAAPwAAwL4AAEC+AAAAAAAAQD4AAMA+AAAAvwAAoL4AAAC+AACAPQAAgD4AAOA+AADgvgAAgL4qGQgE',
	'EAFCAWJKEAAAgD4AAAC/AAAAPgAAAAAqjAEIBAgIEAFCAW1KgAEAAEC/AADAvgAAAAAAAMA+AABAPwAAAL8AAAC+AACAPgAAID8AACC/AACAvgAAAD4AAAA/',
	'AABAvwAAwL4AAAAAAADAPgAAQD8AAAC/AAAAvgAAgD4AACA/AAAgvwAAgL4AAAA+AAAAPwAAQL8AAMC+AAAAAAAAwD4AAEA/AAAAv1obCgF4EhYKFAgBEhAK',
	'AggBCgIIBAoCCAgKAggIYhsKAXkSFgoUCAESEAoCCAEKAggICgIICAoCCAhCBAoAEBE=',
].join('');

export const PROBE_INPUT = {
	name: 'x',
	dims: [1, 4, 8, 8],
	values: Float32Array.from({ length: 256 }, (_, i) => (((i * 23) % 31) - 15) / 8),
};
export const PROBE_OUTPUT = 'y';

/**
 * The first and last values that the model gives, computed with ONNX Runtime 1.31.1 for Python on a CPU.
 */
const FIRST = [0.12413420528173447, 0.0746036097407341, 0.05426809936761856, 0.1361767202615738];
const LAST = [0.2301320880651474, 0.10792634636163712, 0.3309057056903839, 0.04559711366891861];
const LENGTH = 512;
/** Of all values, each times `i · 7 mod 11 + 1`. */
const WEIGHTED_SUM = 384.2767598106293;

/** Half precision inside, as some devices compute, is off by some thousandths. */
export const PROBE_TOLERANCE = 0.01;

/** Largest difference from the known output; infinite when the shape or a number is wrong. */
export const probeError = (output: Float32Array): number => {
	if (output.length !== LENGTH || output.some((value) => !Number.isFinite(value))) return Number.POSITIVE_INFINITY;
	const differences = [
		...FIRST.map((value, i) => value - (output[i] ?? 0)),
		...LAST.map((value, i) => value - (output[LENGTH - LAST.length + i] ?? 0)),
	];
	// Softmax: the eight values of each place add up to one, all over the output.
	for (let at = 0; at < LENGTH; at += 8) differences.push(output.subarray(at, at + 8).reduce((sum, value) => sum + value, 0) - 1);
	const weighted = output.reduce((sum, value, i) => sum + value * (((i * 7) % 11) + 1), 0);
	differences.push((weighted - WEIGHTED_SUM) / LENGTH);
	return Math.max(...differences.map(Math.abs));
};

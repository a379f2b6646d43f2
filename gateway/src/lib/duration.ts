/**
 * Durations in configuration: "90s", "12h", "30d".
 * @module
 */
const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;
/** 100 years: anything longer is a slip, and would not fit an alarm. */
const MAX_MS = 36_525 * UNIT_MS.d;

/**
 * Reads a duration.
 * @param text a number and a unit: ms, s, m, h, d or w
 * @param name of the setting, for the error
 * @returns milliseconds, at least 1
 * @throws {RangeError} with a sentence that names the setting, the value and what is allowed
 * @example parseDuration('12h', 'RESULT_TTL') // 43200000
 */
export const parseDuration = (text: string, name: string): number => {
	const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)$/.exec(text.trim());
	const ms = match ? Math.round(Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS]) : Number.NaN;
	if (!(ms >= 1 && ms <= MAX_MS)) {
		throw new RangeError(
			`${name} is ${JSON.stringify(text)}, which is not a duration: write a number above 0 and a unit, such as "90s", "30m", "12h" or "30d"`,
		);
	}
	return ms;
};

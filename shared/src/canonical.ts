/**
 * Canonical JSON: object keys sorted, no white space, undefined fields left out. Two equal values have the same text,
 * so a hash over the text can be checked after the value went through JSON.
 * @module
 */

/** @throws {TypeError} for what JSON cannot hold: NaN, infinities, functions, bigints */
export const canonicalJson = (value: unknown): string => {
	if (value === null || typeof value === 'string' || typeof value === 'boolean') return JSON.stringify(value);
	if (typeof value === 'number' && Number.isFinite(value)) return JSON.stringify(value);
	if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item === undefined ? null : item)).join(',')}]`;
	if (typeof value === 'object') {
		const fields = Object.entries(value)
			.filter(([, field]) => field !== undefined)
			.toSorted(([a], [b]) => (a < b ? -1 : 1));
		return `{${fields.map(([key, field]) => `${JSON.stringify(key)}:${canonicalJson(field)}`).join(',')}}`;
	}
	throw new TypeError(`canonical JSON cannot hold ${typeof value === 'number' ? String(value) : typeof value}`);
};

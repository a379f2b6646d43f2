/**
 * Whether two pieces of plain data say the same.
 * @module
 */

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null;

/** What is missing and what is undefined are the same, as in JSON. */
const sameFields = (a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>, but: string | undefined): boolean => {
	for (const key in a) if (key !== but && !isSame(a[key], b[key], but)) return false;
	for (const key in b) if (key !== but && b[key] !== undefined && a[key] === undefined) return false;
	return true;
};

/** @param but name of fields that do not count, however deep */
export const isSame = (a: unknown, b: unknown, but?: string): boolean => {
	if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((each, i) => isSame(each, b[i], but));
	if (isObject(a) && isObject(b) && !Array.isArray(a) && !Array.isArray(b)) return sameFields(a, b, but);
	return a === b;
};

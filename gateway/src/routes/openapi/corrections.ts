/**
 * Corrections of what the generator makes of the schemas. Pure.
 * @module
 */

const isTuple = (value: unknown): value is { prefixItems: unknown[] } =>
	typeof value === 'object' && value !== null && 'prefixItems' in value && Array.isArray(value.prefixItems);

/**
 * `prefixItems` alone allows shorter and longer lists than the gateway takes. Where all places are alike it says the same as
 * `items`, which more tools can read.
 */
export const tupleOf = ({ prefixItems: places, ...rest }: { prefixItems: unknown[] }): object => {
	const bounds = { minItems: places.length, maxItems: places.length };
	const alike = new Set(places.map((place) => JSON.stringify(place))).size === 1;
	return alike && !('items' in rest) ? { ...rest, items: places[0], ...bounds } : { ...rest, prefixItems: places, ...bounds };
};

/**
 * A document in which lists with places have their length, and unions no discriminators. A discriminator says that its field
 * must be sent. `taskType` may be left out, and clients that are made from the document would ask for it; the parts of a union
 * tell themselves apart without it.
 */
export const corrected = <T>(document: T): T =>
	JSON.parse(
		JSON.stringify(document, (key, value: unknown) => {
			if (key === 'discriminator' && typeof value === 'object') return undefined;
			return isTuple(value) ? tupleOf(value) : value;
		}),
	) as T;

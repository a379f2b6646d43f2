/**
 * Types of the HTTP API, made from the OpenAPI document.
 * @module
 */
import openapiTS, { astToString } from 'openapi-typescript';

const HEADER = '// Made by `npm run openapi` from docs/openapi.json; not to be edited.\n\n';

/** A list of a fixed length becomes a tuple: `[number, number]` and not `number[]`. */
const withTuples = (document: string): string =>
	JSON.stringify(
		JSON.parse(document, (_key, value: unknown) => {
			if (typeof value !== 'object' || value === null || !('items' in value) || !('minItems' in value) || !('maxItems' in value))
				return value;
			const { items, minItems, maxItems } = value;
			return typeof minItems === 'number' && minItems === maxItems
				? { ...value, prefixItems: Array(minItems).fill(items), items: false }
				: value;
		}),
	);

/** Text of `sdk/src/schema.ts` for an OpenAPI document. */
export const schemaText = async (document: string): Promise<string> => HEADER + astToString(await openapiTS(withTuples(document)));

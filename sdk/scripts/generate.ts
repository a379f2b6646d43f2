/**
 * Types of the HTTP API, made from the OpenAPI document.
 * @module
 */
import openapiTS, { astToString } from 'openapi-typescript';

const HEADER = '// Made by `npm run openapi` from docs/openapi.json; not to be edited.\n\n';

/** Text of `sdk/src/schema.ts` for an OpenAPI document. */
export const schemaText = async (document: string): Promise<string> => HEADER + astToString(await openapiTS(document));

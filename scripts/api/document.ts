/**
 * docs/openapi.json as the makers of its pages read it.
 * @module
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const METHODS: readonly string[] = ['get', 'post', 'put', 'patch', 'delete'];

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');

export interface Schema {
	$ref?: string;
	type?: string | string[];
	properties?: Record<string, Schema>;
	required?: string[];
	items?: Schema;
	enum?: unknown[];
	default?: unknown;
	oneOf?: Schema[];
	anyOf?: Schema[];
	allOf?: Schema[];
	description?: string;
	minimum?: number;
	maximum?: number;
	maxLength?: number;
}
export interface Media {
	schema?: Schema;
	example?: unknown;
	examples?: Record<string, { $ref: string }>;
}
export interface Parameter {
	name: string;
	in: string;
	required?: boolean;
	schema?: Schema;
	description?: string;
}
export interface Operation {
	operationId: string;
	summary?: string;
	description?: string;
	tags?: string[];
	security?: Record<string, string[]>[];
	parameters?: Parameter[];
	requestBody?: { content: Record<string, Media> };
	responses: Record<string, { description?: string; content?: Record<string, Media> }>;
}
export interface Document {
	info: { title: string; version: string };
	tags?: { name: string; description?: string }[];
	paths: Record<string, Record<string, Operation>>;
	components: { schemas: Record<string, Schema>; examples: Record<string, { value: unknown }> };
}
export interface Entry {
	method: string;
	path: string;
	operation: Operation;
}

export const api = JSON.parse(readFileSync(join(ROOT, 'docs/openapi.json'), 'utf8')) as Document;

export const entries: Entry[] = Object.entries(api.paths).flatMap(([path, item]) =>
	Object.entries(item)
		.filter(([method]) => METHODS.includes(method))
		.map(([method, operation]) => ({ method, path, operation })),
);

export const nameOf = (ref: string): string => ref.slice(ref.lastIndexOf('/') + 1);
export const resolve = (schema: Schema): Schema =>
	schema.$ref === undefined ? schema : (api.components.schemas[nameOf(schema.$ref)] ?? {});

/**
 * Examples of every body of the OpenAPI document, made from the schemas, so that none can be forgotten. Pure.
 * @module
 */
import { LimnerError, PROBLEMS, type ProblemCode } from '@limner/shared';
import { problemBody, PROBLEM_TYPE } from '../../lib/problem.ts';
import { BODIES, fieldValue, fromPattern, sampleTime } from './values.ts';

export interface Schema {
	$ref?: string;
	type?: string | string[];
	example?: unknown;
	default?: unknown;
	const?: unknown;
	enum?: unknown[];
	format?: string;
	pattern?: string;
	properties?: Record<string, Schema>;
	required?: string[];
	items?: Schema;
	/** A list whose places have schemas of their own. */
	prefixItems?: Schema[];
	oneOf?: Schema[];
	anyOf?: Schema[];
	/** What a schema that extends another one adds to it. */
	allOf?: Schema[];
	minimum?: number;
	maximum?: number;
	exclusiveMinimum?: number;
	minLength?: number;
	minItems?: number;
	maxItems?: number;
}
export interface Media {
	schema?: Schema;
	example?: unknown;
	examples?: Record<string, unknown>;
}
export interface Operation {
	operationId?: string;
	security?: Record<string, string[]>[];
	parameters?: { name: string; in: string; required?: boolean; schema?: Schema; description?: string }[];
	requestBody?: { content: Record<string, Media> };
	responses: Record<string, { description?: string; content?: Record<string, Media>; links?: Record<string, unknown> }>;
}
export interface Document {
	paths: Record<string, Record<string, Operation>>;
	components: { schemas: Record<string, Schema>; examples?: Record<string, unknown> };
}

/** Deeper parts of an answer are left out where they may be. */
const MAX_DEPTH = 2;

interface Place {
	/** The component that the schema belongs to. */
	component: string;
	/** Name of the field. */
	name: string;
	depth: number;
	/** Requests show what must be sent, answers all that comes. */
	request: boolean;
}

const ofText = (schema: Schema, { component, name }: Place): string => {
	if (schema.format === 'date-time') return sampleTime;
	if (schema.format === 'date') return sampleTime.slice(0, 10);
	if (schema.format === 'email') return 'ada@example.com';
	if (schema.format === 'uri') return 'https://example.com/hooks/limner';
	const known = (schema.pattern === undefined ? undefined : fromPattern(schema.pattern)) ?? fieldValue(component, name);
	return typeof known === 'string' ? known : 'text';
};

const ofNumber = (schema: Schema, { component, name }: Place): number => {
	const known = fieldValue(component, name);
	const least = schema.minimum ?? (schema.exclusiveMinimum === undefined ? undefined : schema.exclusiveMinimum + 1);
	return typeof known === 'number' ? Math.min(known, schema.maximum ?? known) : (least ?? 1);
};

const SCALARS: Record<string, (schema: Schema, place: Place) => unknown> = {
	string: ofText,
	integer: ofNumber,
	number: ofNumber,
	boolean: () => true,
};

/** What a schema says itself about its value. */
const fixedValue = (schema: Schema, request: boolean): unknown =>
	schema.example ?? schema.const ?? schema.enum?.find((value) => value !== null) ?? (request ? schema.default : undefined);

/** Of the forms that a value may have, the one that is shown. */
const firstBranch = (schema: Schema): Schema | undefined =>
	schema.oneOf?.[0] ?? (schema.properties === undefined ? schema.anyOf?.[0] : undefined);

/** Example values of the document's schemas. */
export class Examples {
	readonly #schemas: Record<string, Schema>;

	constructor(document: Document) {
		this.#schemas = document.components.schemas;
	}

	/** The example of a body. */
	of(schema: Schema, request: boolean): unknown {
		return this.#value(schema, { component: '', name: '', depth: 0, request });
	}

	#value(schema: Schema, place: Place): unknown {
		if (schema.$ref !== undefined) {
			const component = schema.$ref.slice(schema.$ref.lastIndexOf('/') + 1);
			return BODIES[component] ?? this.#value(this.#schemas[component] ?? {}, { ...place, component });
		}
		const fixed = fixedValue(schema, place.request);
		if (fixed !== undefined) return fixed;
		const branch = firstBranch(schema);
		return branch === undefined ? this.#ofType(schema, place) : this.#value(branch, place);
	}

	#ofType(schema: Schema, place: Place): unknown {
		const type = [schema.type].flat().find((each) => each !== 'null');
		if (schema.properties !== undefined || schema.allOf !== undefined || type === 'object') return this.#object(schema, place);
		if (schema.prefixItems !== undefined) return schema.prefixItems.map((each) => this.#value(each, place));
		if (type === 'array') return this.#list(schema, place);
		return type === undefined ? null : SCALARS[type]?.(schema, place);
	}

	#list({ items = {}, minItems = 0, maxItems }: Schema, place: Place): unknown[] {
		if (place.depth > MAX_DEPTH && minItems === 0) return [];
		return Array.from({ length: minItems === maxItems ? minItems : 1 }, () => this.#value(items, place));
	}

	#object(schema: Schema, place: Place): object {
		const fields = Object.entries(schema.properties ?? {}).filter(
			([name, field]) =>
				schema.required?.includes(name) === true || (place.request ? field.example !== undefined : place.depth < MAX_DEPTH),
		);
		const own = fields.map(([name, field]) => [name, this.#value(field, { ...place, name, depth: place.depth + 1 })] as const);
		return Object.assign({}, ...this.#parts(schema, place), Object.fromEntries(own)) as object;
	}

	#parts(schema: Schema, place: Place): unknown[] {
		return (schema.allOf ?? []).map((part) => this.#value(part, place));
	}
}

const UNSAFE: ReadonlySet<string> = new Set(['post', 'put', 'patch', 'delete']);
const SUBMITS: ReadonlySet<string> = new Set(['submitJob', 'submitPoolTask', 'submitWorkflow', 'retryJob']);

/** Codes that only some operations answer; the others come with their status. */
const ONLY: Partial<Record<ProblemCode, (id: string, method: string) => boolean>> = {
	bad_request: (id, method) => UNSAFE.has(method) || id === 'connectNode',
	invalid_json: (_id, method) => UNSAFE.has(method),
	signup_closed: (id) => id === 'createAccount',
	origin_refused: () => false,
	model_forbidden: (id) => SUBMITS.has(id),
	stale: (id) => id === 'uploadResult',
	conflict: (id) => id !== 'uploadResult',
	in_flight: (id, method) => UNSAFE.has(method) && id !== 'uploadResult' && !SUBMITS.has(id),
	model_unknown: (id) => SUBMITS.has(id),
	idempotency_mismatch: (_id, method) => UNSAFE.has(method),
	result_refused: (id) => id === 'uploadResult' || id === 'restorePicture',
	queue_full: (id) => SUBMITS.has(id),
	quota_exceeded: (id) => SUBMITS.has(id) || id === 'allocateResources',
	not_ready: (id) => id === 'ready',
};

/** The codes with which an operation answers a status. */
export const codesOf = (id: string, method: string, status: number): ProblemCode[] =>
	(Object.keys(PROBLEMS) as ProblemCode[]).filter((code) => PROBLEMS[code][0] === status && (ONLY[code]?.(id, method) ?? true));

const REQUEST_ID = String(fieldValue('', 'requestId'));
const FIELD = { pointer: '/steps', detail: 'Too big: expected number to be <=150', code: 'too_big' };

/** The problem that a code stands for. */
export const problemExample = (code: ProblemCode): { summary: string; value: object } => ({
	summary: PROBLEMS[code][1],
	value: problemBody(
		new LimnerError(code, code === 'validation_failed' ? { detail: `${FIELD.pointer}: ${FIELD.detail}`, errors: [FIELD] } : {}),
		`urn:limner:request:${REQUEST_ID}`,
		REQUEST_ID,
	),
});

const isJson = (type: string): boolean => type === 'application/json';

const fill = (examples: Examples, content: Record<string, Media> | undefined, request: boolean): void => {
	for (const [type, media] of Object.entries(content ?? {})) {
		if (media.schema === undefined || media.example !== undefined) continue;
		if (isJson(type) || type === 'text/event-stream') media.example = examples.of(media.schema, request);
		else if (type === 'text/plain') media.example = 'limner_jobs_queued 3\n';
	}
};

/** Writes an example beside every body that is JSON, text or events, and the codes of every refusal. Changes the document. */
export const addExamples = (document: Document): void => {
	const examples = new Examples(document);
	for (const item of Object.values(document.paths)) {
		for (const [method, operation] of Object.entries(item)) {
			fill(examples, operation.requestBody?.content, true);
			for (const [status, { content }] of Object.entries(operation.responses)) {
				const media = content?.[PROBLEM_TYPE];
				if (media === undefined) fill(examples, content, false);
				else {
					const codes = codesOf(operation.operationId ?? '', method, Number(status));
					media.examples = Object.fromEntries(codes.map((code) => [code, { $ref: `#/components/examples/${code}` }]));
				}
			}
		}
	}
	const codes = (Object.keys(PROBLEMS) as ProblemCode[]).map((code) => [code, problemExample(code)]);
	document.components.examples = Object.fromEntries(codes) as Record<string, unknown>;
};

/**
 * What the run has to show: counts of calls, and operations whose documentation says nothing. Pure.
 * @module
 */

export interface Call {
	operation: string;
	phase: string;
	/** Everything that was sent fits the document. */
	positive: boolean;
	status: number;
	detail: string;
}

/** A failure that does not count, and why. */
export interface Filtered {
	operation: string;
	filtered: string;
}

export interface Tally {
	cases: number;
	positive: number;
	accepted: number;
	serverErrors: Call[];
	/** Operations that never answered 2xx to a positive case. */
	never: string[];
	/** Cases by phase. */
	phases: Record<string, number>;
}

/** Counts calls. An upgrade to WebSocket counts as accepted. */
export const tally = (calls: readonly Call[]): Tally => {
	const positive = calls.filter((call) => call.positive);
	const good = ({ status }: Call): boolean => (status >= 200 && status < 300) || status === 101;
	const accepted = positive.filter(good);
	const worked = new Set(accepted.map(({ operation }) => operation));
	return {
		cases: calls.length,
		positive: positive.length,
		accepted: accepted.length,
		serverErrors: calls.filter(({ status }) => status >= 500),
		phases: Object.fromEntries([...Map.groupBy(calls, ({ phase }) => phase)].map(([phase, each]) => [phase, each.length])),
		never: [...new Set(positive.map(({ operation }) => operation))].filter((operation) => !worked.has(operation)).toSorted(),
	};
};

interface Schema {
	$ref?: string;
	type?: string | string[];
	enum?: unknown[];
	const?: unknown;
	properties?: Record<string, Schema>;
	items?: Schema;
	additionalProperties?: Schema | boolean;
	description?: string;
	oneOf?: Schema[];
	anyOf?: Schema[];
	allOf?: Schema[];
}
interface Operation {
	operationId: string;
	requestBody?: { content: Record<string, { schema?: Schema }> };
	responses: Record<string, { content?: Record<string, { schema?: Schema }> }>;
}
export interface Document {
	paths: Record<string, Record<string, Operation>>;
	components: { schemas: Record<string, Schema> };
}

const partsOf = ({ oneOf = [], anyOf = [], allOf = [] }: Schema): Schema[] => [...oneOf, ...anyOf, ...allOf];

/** Whether a schema says what a value looks like. */
const says = (schema: Schema | undefined, components: Record<string, Schema>, depth = 0): boolean => {
	if (schema === undefined || depth > 20) return false;
	const inner = (part: Schema | undefined): boolean => says(part, components, depth + 1);
	if (schema.$ref !== undefined) return inner(components[schema.$ref.slice(schema.$ref.lastIndexOf('/') + 1)]);
	if (schema.properties !== undefined || schema.enum !== undefined || schema.const !== undefined) return true;
	const parts = partsOf(schema);
	if (parts.length > 0) return parts.every(inner);
	const [type] = [schema.type].flat().filter((each) => each !== 'null');
	if (type === 'array') return inner(schema.items);
	if (type === 'object') return typeof schema.additionalProperties === 'object' && inner(schema.additionalProperties);
	// Only null is left: `null` alone says what comes.
	return schema.type !== undefined;
};

/** Sentences about operations that are documented only by `default`, or by objects of which nothing is said. */
export const undocumented = (document: Document): string[] =>
	Object.values(document.paths)
		.flatMap((item) => Object.values(item))
		.flatMap(({ operationId, requestBody, responses }) => {
			const statuses = Object.keys(responses);
			const only = statuses.every((status) => status === 'default') ? [`${operationId} is documented only by "default"`] : [];
			const bodies = [
				...Object.entries(requestBody?.content ?? {}).map(([type, { schema }]) => [`the body ${type}`, schema] as const),
				...Object.entries(responses).flatMap(([status, { content = {} }]) =>
					Object.entries(content).map(([type, { schema }]) => [`${status} ${type}`, schema] as const),
				),
			];
			const untyped = bodies.filter(([, schema]) => !says(schema, document.components.schemas));
			return [...only, ...untyped.map(([what]) => `${operationId} says nothing about ${what}`)];
		});

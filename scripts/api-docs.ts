/**
 * Writes docs/api.md, docs/errors.md and docs/postman.json from docs/openapi.json and the table of problems; with
 * --check it compares instead.
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PROBLEMS } from '../shared/src/errors.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const METHODS: readonly string[] = ['get', 'post', 'put', 'patch', 'delete'];

interface Schema {
	$ref?: string;
	type?: string | string[];
	example?: unknown;
	properties?: Record<string, Schema>;
	required?: string[];
	items?: Schema;
	enum?: unknown[];
	const?: unknown;
	default?: unknown;
	oneOf?: Schema[];
	anyOf?: Schema[];
	minLength?: number;
	minimum?: number;
	format?: string;
}
interface Parameter {
	name: string;
	in: string;
	required?: boolean;
	schema?: Schema;
	description?: string;
}
interface Operation {
	operationId: string;
	summary?: string;
	description?: string;
	tags?: string[];
	security?: Record<string, string[]>[];
	parameters?: Parameter[];
	requestBody?: { content: Record<string, { schema?: Schema }> };
	responses: Record<string, { description?: string; content?: Record<string, { schema?: Schema }> }>;
}
interface Document {
	info: { title: string; version: string };
	tags?: { name: string; description?: string }[];
	paths: Record<string, Record<string, Operation>>;
	components: { schemas: Record<string, Schema> };
}
interface Entry {
	method: string;
	path: string;
	operation: Operation;
}

const api = JSON.parse(readFileSync(join(root, 'docs/openapi.json'), 'utf8')) as Document;
const entries: Entry[] = Object.entries(api.paths).flatMap(([path, item]) =>
	Object.entries(item)
		.filter(([method]) => METHODS.includes(method))
		.map(([method, operation]) => ({ method, path, operation })),
);

const nameOf = (ref: string): string => ref.slice(ref.lastIndexOf('/') + 1);
const resolve = (schema: Schema): Schema => (schema.$ref === undefined ? schema : (api.components.schemas[nameOf(schema.$ref)] ?? {}));

const first = (schema: Schema): Schema | undefined => schema.oneOf?.[0] ?? schema.anyOf?.[0];

const objectExample = (schema: Schema, depth: number): Record<string, unknown> =>
	Object.fromEntries(
		Object.entries(schema.properties ?? {})
			.filter(([name]) => schema.required?.includes(name) === true)
			.map(([name, field]) => [name, exampleOf(field, depth + 1)]),
	);

const plainExample = (schema: Schema): unknown => {
	const [type] = [schema.type].flat();
	if (type === 'integer' || type === 'number') return schema.minimum ?? 1;
	if (type === 'boolean') return true;
	if (type === 'array') return [];
	return type === 'null' ? null : 'string'.padEnd(schema.minLength ?? 0, 'x');
};

/** The smallest value that the schema's own examples and required fields make. */
const exampleOf = (given: Schema, depth = 0): unknown => {
	const schema = resolve(given);
	const fixed = schema.example ?? schema.const ?? schema.enum?.[0] ?? schema.default;
	if (fixed !== undefined) return fixed;
	const branch = first(schema);
	if (branch !== undefined && depth < 8) return exampleOf(branch, depth + 1);
	return schema.properties === undefined ? plainExample(schema) : objectExample(schema, depth);
};

const typeOf = (given: Schema | undefined): string => {
	if (given === undefined) return '';
	if (given.$ref !== undefined) return nameOf(given.$ref);
	if (given.enum !== undefined) return given.enum.map((value) => `\`${String(value)}\``).join(', ');
	if (given.items !== undefined) return `${typeOf(given.items)}[]`;
	return [given.type].flat().join(' or ');
};

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const needs = ({ security }: Operation): string => {
	if (security === undefined || security.length === 0) return 'nothing';
	return security
		.flatMap((each) => Object.entries(each).map(([scheme, scopes]) => (scopes.length > 0 ? `scope \`${scopes.join('`, `')}\`` : scheme)))
		.join(', or ');
};

const bodyLines = (operation: Operation): string[] =>
	Object.entries(operation.requestBody?.content ?? {}).flatMap(([type, { schema = {} }]) =>
		type === 'application/json'
			? ['', `Body (${typeOf(schema) || 'JSON'}):`, '', '```json', JSON.stringify(exampleOf(schema), null, 2), '```']
			: ['', `Body: \`${type}\``],
	);

const section = ({ method, path, operation }: Entry): string[] => [
	`### ${operation.operationId}`,
	'',
	`\`${method.toUpperCase()} ${path}\`: ${operation.summary ?? ''}`,
	...(operation.description === undefined ? [] : ['', operation.description]),
	'',
	`Needs ${needs(operation)}.`,
	...(operation.parameters === undefined || operation.parameters.length === 0
		? []
		: [
				'',
				'| parameter | in | type |',
				'| --- | --- | --- |',
				...operation.parameters.map(
					(each) => `| \`${each.name}\`${each.required === true ? ' (required)' : ''} | ${each.in} | ${cell(typeOf(each.schema))} |`,
				),
			]),
	...bodyLines(operation),
	'',
	'| status | answer |',
	'| --- | --- |',
	...Object.entries(operation.responses).map(([status, { description = '', content = {} }]) => {
		const schema = typeOf(Object.values(content)[0]?.schema);
		return `| ${status} | ${cell(description)}${schema === '' || schema === 'Problem' ? '' : ` (${schema})`} |`;
	}),
	'',
];

const apiPage = (): string => {
	const lines = ['# API', '', 'Made from [openapi.json](openapi.json) by `npm run openapi`. Refusals: [errors](errors.md).', ''];
	for (const tag of api.tags ?? []) {
		const mine = entries.filter(({ operation }) => operation.tags?.[0] === tag.name);
		if (mine.length > 0) lines.push(`## ${tag.name}`, '', tag.description ?? '', '', ...mine.flatMap(section));
	}
	return `${lines.join('\n').trimEnd()}\n`;
};

const errorsPage = (): string =>
	[
		'# Errors',
		'',
		'Made by `npm run openapi`. Every refusal is a problem document (RFC 9457, `application/problem+json`): `code` says what',
		'happened and stays the same, `detail` says it in words, `errors` points at fields, `requestId` is for the logs. The dialects of',
		'other programs answer errors in their own form.',
		'',
		'| code | status | meaning | routes |',
		'| --- | --- | --- | --- |',
		...Object.entries(PROBLEMS).map(([code, [status, title]]) => {
			const count = entries.filter(({ operation }) => String(status) in operation.responses).length;
			return `| \`${code}\` | ${status} | ${title} | ${count} |`;
		}),
		'',
		'The last column is how many operations can answer that status.',
		'',
	].join('\n');

const postmanItem = ({ method, path, operation }: Entry): object => {
	const json = operation.requestBody?.content['application/json']?.schema;
	const open = operation.security === undefined || operation.security.length === 0;
	return {
		name: operation.operationId,
		request: {
			method: method.toUpperCase(),
			...(open ? { auth: { type: 'noauth' } } : {}),
			header: json === undefined ? [] : [{ key: 'Content-Type', value: 'application/json' }],
			url: {
				raw: `{{baseUrl}}${path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
				host: ['{{baseUrl}}'],
				path: path
					.slice(1)
					.split('/')
					.map((part) => part.replaceAll(/\{(\w+)\}/g, ':$1')),
				variable: (operation.parameters ?? []).filter((each) => each.in === 'path').map((each) => ({ key: each.name, value: '' })),
			},
			description: operation.summary ?? '',
			...(json === undefined ? {} : { body: { mode: 'raw', raw: JSON.stringify(exampleOf(json), null, 2) } }),
		},
		event: [
			{
				listen: 'test',
				script: {
					type: 'text/javascript',
					exec: [
						`pm.test('${operation.operationId} answers a documented status', () => {`,
						`\tpm.expect(${JSON.stringify(Object.keys(operation.responses).map(Number))}).to.include(pm.response.code);`,
						'\tpm.expect(pm.response.code).to.be.below(500);',
						'});',
					],
				},
			},
		],
	};
};

const collection = (): string => {
	const item = (api.tags ?? []).map((tag) => ({
		name: tag.name,
		item: entries.filter(({ operation }) => operation.tags?.[0] === tag.name).map(postmanItem),
	}));
	const document = {
		info: { name: `${api.info.title} ${api.info.version}`, schema: 'https://schema.getpostman.com/json/collection/v2.1.0/collection.json' },
		auth: { type: 'bearer', bearer: [{ key: 'token', value: '{{apiKey}}', type: 'string' }] },
		variable: [
			{ key: 'baseUrl', value: 'http://127.0.0.1:8787' },
			{ key: 'apiKey', value: '' },
		],
		item: item.filter((folder) => folder.item.length > 0),
	};
	return `${JSON.stringify(document, null, '\t')}\n`;
};

const FILES: Record<string, () => string> = { 'api.md': apiPage, 'errors.md': errorsPage, 'postman.json': collection };
let stale = false;
for (const [name, make] of Object.entries(FILES)) {
	const file = join(root, 'docs', name);
	const wanted = make();
	if (!process.argv.includes('--check')) writeFileSync(file, wanted);
	else {
		let have = '';
		try {
			have = readFileSync(file, 'utf8');
		} catch {
			// Missing counts as different.
		}
		if (have !== wanted) {
			console.error(`limner: docs/${name} is not what the API says; run \`npm run openapi\` and commit it.`);
			stale = true;
		}
	}
}
process.exit(stale ? 1 : 0);

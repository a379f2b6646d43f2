/**
 * docs/postman.json: a collection that can be run from the first request to the last. Ids that one request makes are
 * variables of those after it, and each request checks the status and the shape of its answer.
 * @module
 */
import { CHAIN, FIRST, LAST, PATHS, type Link } from './chain.ts';
import { api, entries, resolve, type Entry, type Operation, type Parameter, type Schema } from './document.ts';

/** Levels of an answer of which the shape is checked. */
const DEPTH = 3;

/** The schema of an answer, without references, as far down as it is checked. */
const shape = (given: Schema, depth = 0): object => {
	const schema = resolve(given);
	const parts = schema.oneOf ?? schema.anyOf;
	if (parts !== undefined && schema.properties === undefined)
		return depth >= DEPTH ? {} : { anyOf: parts.map((part) => shape(part, depth + 1)) };
	const type = schema.type === undefined ? {} : { type: schema.type };
	if (depth >= DEPTH) return type;
	return {
		...type,
		...(schema.required === undefined ? {} : { required: schema.required }),
		...(schema.properties === undefined
			? {}
			: { properties: Object.fromEntries(Object.entries(schema.properties).map(([name, field]) => [name, shape(field, depth + 1)])) }),
		...(schema.items === undefined ? {} : { items: shape(schema.items, depth + 1) }),
	};
};

const linkOf = ({ operationId }: Operation): Link => CHAIN[operationId] ?? {};

const expected = (operation: Operation): number[] =>
	linkOf(operation).expect ??
	Object.keys(operation.responses)
		.map(Number)
		.filter((status) => status >= 200 && status < 300);

const saving = (name: string, where: string): string =>
	`pm.collectionVariables.set('${name}', ${where.split('.').reduce((path, part) => `${path}?.[${/^\d+$/.test(part) ? part : `'${part}'`}]`, 'body')} ?? '');`;

const testLines = ({ operation }: Entry): string[] => {
	const statuses = expected(operation);
	const success = Object.entries(operation.responses).find(([status]) => statuses.includes(Number(status)) && status.startsWith('2'));
	const content = success?.[1].content ?? {};
	const json = content['application/json']?.schema;
	const types = Object.keys(content);
	const { saves = {}, sets = [] } = linkOf(operation);
	return [
		`pm.test('${operation.operationId} answers ${statuses.join(' or ')}', () => pm.expect(pm.response.code).to.be.oneOf([${statuses.join(', ')}]));`,
		"pm.test('it carries a request id', () => pm.expect(pm.response.headers.get('X-Request-Id')).to.be.a('string').and.not.empty);",
		...(types.length === 0
			? []
			: [
					`if (pm.response.code < 300) pm.test('it is ${types.join(' or ')}', () => pm.expect(${JSON.stringify(types)}).to.include((pm.response.headers.get('Content-Type') ?? '').split(';')[0]));`,
				]),
		...(json === undefined
			? []
			: [
					`if (pm.response.code < 300) pm.test('the answer has its shape', () => pm.response.to.have.jsonSchema(${JSON.stringify(shape(json))}));`,
				]),
		"if (pm.response.code >= 400) pm.test('the refusal says why', () => pm.expect(JSON.stringify(pm.response.json())).to.match(/detail|error/));",
		...(Object.keys(saves).length === 0
			? []
			: [
					'if (pm.response.code < 300) {',
					'\tconst body = pm.response.json();',
					...Object.entries(saves).map(([name, where]) => `\t${saving(name, where)}`),
					'}',
				]),
		...sets,
	];
};

const skipLines = (operation: Operation): string[] =>
	linkOf(operation).endless === true ? ["if (pm.variables.get('withoutStreams') === 'true') pm.execution.skipRequest();"] : [];

const authOf = (operation: Operation): object => {
	const { bearer } = linkOf(operation);
	const account = operation.security?.some((each) => each['ApiKey']?.includes('account') === true) === true;
	if (bearer !== undefined || account)
		return { auth: { type: 'bearer', bearer: [{ key: 'token', value: bearer ?? '{{accessToken}}', type: 'string' }] } };
	return operation.security === undefined || operation.security.length === 0 ? { auth: { type: 'noauth' } } : {};
};

const bodyOf = (operation: Operation): { header: object[]; body?: object } => {
	const content = operation.requestBody?.content ?? {};
	const json = content['application/json'];
	const { body = {} } = linkOf(operation);
	if (json !== undefined) {
		const example = json.example;
		const value = typeof example === 'object' && example !== null && !Array.isArray(example) ? { ...example, ...body } : example;
		return { header: [{ key: 'Content-Type', value: 'application/json' }], body: { mode: 'raw', raw: JSON.stringify(value, null, 2) } };
	}
	const [type] = Object.keys(content);
	if (type === undefined) return { header: [] };
	if (type === 'multipart/form-data') {
		return { header: [], body: { mode: 'formdata', formdata: [{ key: 'image', type: 'file', src: '{{picture}}' }] } };
	}
	return { header: [{ key: 'Content-Type', value: 'image/png' }], body: { mode: 'file', file: { src: '{{picture}}' } } };
};

const variableOf = (operation: Operation, { name }: Parameter): object => ({
	key: name,
	value: linkOf(operation).path?.[name] ?? PATHS[operation.tags?.[0] ?? '']?.[name] ?? '',
});

const item = (entry: Entry): object => {
	const { method, path, operation } = entry;
	const { query } = linkOf(operation);
	// Postman's parameters are whole parts of a path; KServe's `{model}:predict` is not.
	const parts = path
		.slice(1)
		.split('/')
		.map((part) => part.replaceAll(/^\{(\w+)\}$/g, ':$1').replaceAll(/\{(\w+)\}/g, '{{$1}}'));
	const [name, value] = query?.split('=') ?? [];
	const scripts = [
		{ listen: 'prerequest', exec: skipLines(operation) },
		{ listen: 'test', exec: testLines(entry) },
	].filter(({ exec }) => exec.length > 0);
	return {
		name: operation.operationId,
		request: {
			method: method.toUpperCase(),
			...authOf(operation),
			...bodyOf(operation),
			url: {
				raw: `{{baseUrl}}/${parts.join('/')}${query === undefined ? '' : `?${query}`}`,
				host: ['{{baseUrl}}'],
				path: parts,
				...(query === undefined ? {} : { query: [{ key: name, value }] }),
				variable: (operation.parameters ?? [])
					.filter((each) => each.in === 'path' && parts.includes(`:${each.name}`))
					.map((each) => variableOf(operation, each)),
			},
			description: [operation.summary ?? '', ...(operation.description === undefined ? [] : [operation.description])].join('\n\n'),
		},
		event: scripts.map(({ listen, exec }) => ({ listen, script: { type: 'text/javascript', exec } })),
	};
};

const ORDER = Object.keys(CHAIN);
const place = ({ operation: { operationId } }: Entry): number => {
	const known = ORDER.indexOf(operationId);
	return known === -1 ? ORDER.indexOf('cancelJob') - 0.5 : known;
};

const named = (ids: readonly string[]): object[] =>
	ids.flatMap((id) => entries.filter(({ operation }) => operation.operationId === id)).map(item);

/** docs/postman.json */
export const collection = (): string => {
	const folders = (api.tags ?? []).map(({ name, description = '' }) => ({
		name,
		description,
		item: entries
			.filter(({ operation }) => operation.tags?.[0] === name && ![...FIRST, ...LAST].includes(operation.operationId))
			.toSorted((a, b) => place(a) - place(b))
			.map(item),
	}));
	const document = {
		info: {
			name: `${api.info.title} ${api.info.version}`,
			description: 'Set baseUrl and apiKey, then send one request, or run all in order. `picture` is a PNG of yours.',
			schema: 'https://schema.getpostman.com/json/collection/v2.1.0/collection.json',
		},
		auth: { type: 'bearer', bearer: [{ key: 'token', value: '{{apiKey}}', type: 'string' }] },
		variable: Object.entries({
			baseUrl: 'http://127.0.0.1:8787',
			apiKey: '',
			model: 'storybook',
			workspaceId: 'main',
			newWorkspaceId: 'studio-north',
			email: 'ada@example.com',
			password: 'correct horse battery',
			picture: 'picture.png',
		}).map(([key, value]) => ({ key, value })),
		item: [
			{ name: 'at the beginning', description: 'What the accounts need.', item: named(FIRST) },
			...folders.filter((folder) => folder.item.length > 0),
			{ name: 'at the end', description: 'What takes things away, or ends the session.', item: named(LAST) },
		],
	};
	return `${JSON.stringify(document, null, '\t')}\n`;
};

/**
 * docs/api.md and docs/errors.md.
 * @module
 */
import { PROBLEMS } from '../../shared/src/errors.ts';
import { api, entries, nameOf, type Entry, type Media, type Operation, type Parameter, type Schema } from './document.ts';

const PROBLEM_TYPE = 'application/problem+json';

const boundsOf = ({ minimum, maximum, maxLength }: Schema): string => {
	if (minimum !== undefined && maximum !== undefined) return `, ${minimum} to ${maximum}`;
	if (minimum !== undefined) return `, at least ${minimum}`;
	return maxLength === undefined ? '' : `, up to ${maxLength} characters`;
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

const block = (value: unknown): string[] => ['```json', JSON.stringify(value, null, 2), '```'];

const bodyLines = (operation: Operation): string[] =>
	Object.entries(operation.requestBody?.content ?? {}).flatMap(([type, { schema, example }]) =>
		example === undefined
			? ['', `Body: \`${type}\`${typeOf(schema) === '' ? '' : ` (${typeOf(schema)})`}`]
			: ['', `Body (${typeOf(schema) || 'JSON'}), for example:`, '', ...block(example)],
	);

/** The answer of a success, where it is JSON. */
const answerLines = (operation: Operation): string[] => {
	const [status, answer] = Object.entries(operation.responses).find(([each]) => each.startsWith('2')) ?? [];
	const json = answer?.content?.['application/json'];
	if (json?.example === undefined || json.example === null) return [];
	return ['', `<details><summary>Answer ${status}, for example</summary>`, '', ...block(json.example), '', '</details>'];
};

const parameterLine = ({ name, in: where, required, schema, description }: Parameter): string => {
	const about = [typeOf(schema), schema === undefined || schema.enum !== undefined ? '' : boundsOf(schema)].join('');
	const fallback = schema?.default === undefined ? '' : `, default ${JSON.stringify(schema.default)}`;
	return `| \`${name}\`${required === true ? ' (required)' : ''} | ${where} | ${cell(`${about}${fallback}${description === undefined ? '' : `. ${description}`}`)} |`;
};

const codesOf = (content: Record<string, Media>): string =>
	Object.keys(content[PROBLEM_TYPE]?.examples ?? {})
		.map((code) => `[\`${code}\`](errors.md#${code})`)
		.join(', ');

const responseLine = ([status, { description = '', content = {} }]: [string, Operation['responses'][string]]): string => {
	const codes = codesOf(content);
	const [type, media] = Object.entries(content)[0] ?? [];
	const schema = typeOf(media?.schema);
	const what = codes !== '' ? codes : schema === '' || type?.startsWith('image/') === true ? (type ?? '') : schema;
	return `| ${status} | ${cell(description)} | ${cell(what)} |`;
};

const section = ({ method, path, operation }: Entry): string[] => [
	`### ${operation.operationId}`,
	'',
	`\`${method.toUpperCase()} ${path}\`: ${operation.summary ?? ''}`,
	...(operation.description === undefined ? [] : ['', operation.description]),
	'',
	`Needs ${needs(operation)}.`,
	...((operation.parameters ?? []).length === 0
		? []
		: ['', '| parameter | in | what |', '| --- | --- | --- |', ...(operation.parameters ?? []).map(parameterLine)]),
	...bodyLines(operation),
	'',
	'| status | when | answer |',
	'| --- | --- | --- |',
	...Object.entries(operation.responses).map(responseLine),
	...answerLines(operation),
	'',
];

/** Operations of a tag. */
const ofTag = (name: string): Entry[] => entries.filter(({ operation }) => operation.tags?.[0] === name);

const contents = (): string[] =>
	(api.tags ?? [])
		.filter(({ name }) => ofTag(name).length > 0)
		.map(({ name, description = '' }) => `- [${name}](#${name}): ${description}`);

/** docs/api.md */
export const apiPage = (): string => {
	const lines = [
		'# API',
		'',
		'Made from [openapi.json](openapi.json) by `npm run openapi`; [postman.json](postman.json) is the same as a collection for Postman.',
		'Refusals: [errors](errors.md). Send the key as `Authorization: Bearer lk_…`; a scope in the lists below is what the key must have.',
		'',
		...contents(),
		'',
	];
	for (const { name, description = '' } of api.tags ?? []) {
		const mine = ofTag(name);
		if (mine.length > 0) lines.push(`## ${name}`, '', description, '', ...mine.flatMap(section));
	}
	return `${lines.join('\n').trimEnd()}\n`;
};

/** What to do about a code, where its title does not say it. */
const ADVICE: Partial<Record<keyof typeof PROBLEMS, string>> = {
	bad_request: 'Send what the operation describes; `detail` says what could not be read.',
	invalid_json: 'Send JSON; `detail` says where it breaks off.',
	unauthorized: 'Send a key or an access token that is valid: `Authorization: Bearer lk_…`.',
	forbidden: 'Ask for a key with the scope that `detail` names.',
	not_found: 'Check the id. What belongs to another workspace does not exist either.',
	conflict: 'Read the thing again; `detail` says what state it is in.',
	in_flight: 'Send the same request again after `Retry-After` seconds.',
	gone: 'It cannot be had any more; a signed URL is made anew by asking for the picture again.',
	payload_too_large: 'Send less; `detail` names the bound.',
	unsupported_media_type: 'Send the header `Content-Type` that the operation describes.',
	validation_failed: '`errors` points at each field and says what it may be.',
	model_unknown: '`GET /api/v1/models` lists what there is.',
	idempotency_mismatch: 'Use a new `Idempotency-Key` for a new request.',
	queue_full: 'Wait for jobs to end, or for `Retry-After` seconds.',
	rate_limited: 'Send it again after `Retry-After` seconds.',
	quota_exceeded: '`RateLimit-*` and `GET /api/v1/resources/quotas` tell what is used up, and until when.',
	internal: 'Send it again; if it stays, give `requestId` to whoever runs the gateway.',
	not_ready: 'Wait; the gateway is starting or its storage cannot be reached.',
	overloaded: 'Send it again after `Retry-After` seconds.',
	retry_later: 'Send it again after `Retry-After` seconds.',
};

const errorSection = (code: keyof typeof PROBLEMS): string[] => {
	const [status, title] = PROBLEMS[code];
	const count = entries.filter(
		({ operation }) => code in (operation.responses[String(status)]?.content?.[PROBLEM_TYPE]?.examples ?? {}),
	).length;
	const advice = ADVICE[code];
	return [
		`## ${code}`,
		'',
		`${status}: ${title}. ${count === 0 ? 'Any operation can answer it.' : `${count} operation${count === 1 ? '' : 's'} can answer it.`}${advice === undefined ? '' : ` ${advice}`}`,
		'',
		...block(api.components.examples[code]?.value),
		'',
	];
};

/** docs/errors.md */
export const errorsPage = (): string =>
	`${[
		'# Errors',
		'',
		'Made by `npm run openapi`. Every refusal is a problem document (RFC 9457, `application/problem+json`): `code` says what',
		'happened and stays the same, `detail` says it in words, `errors` points at fields, `requestId` is for the logs. The dialects of',
		'other programs answer errors in their own form.',
		'',
		'| code | status | meaning |',
		'| --- | --- | --- |',
		...Object.entries(PROBLEMS).map(([code, [status, title]]) => `| [\`${code}\`](#${code}) | ${status} | ${title} |`),
		'',
		...(Object.keys(PROBLEMS) as (keyof typeof PROBLEMS)[]).flatMap(errorSection),
	]
		.join('\n')
		.trimEnd()}\n`;

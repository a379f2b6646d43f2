import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { describe, expect, it } from 'vitest';
import { createApp } from '../../app.ts';
import { corrected } from './corrections.ts';
import { openapiDocument } from './document.ts';
import type { Document, Media, Operation } from './examples.ts';

const document = openapiDocument(createApp()) as unknown as Document;
const operations: [string, Operation][] = Object.values(document.paths).flatMap((item) =>
	Object.values(item).map((operation): [string, Operation] => [operation.operationId ?? '', operation]),
);

const ajv = new Ajv2020({ strict: false, allErrors: true });
formats.default(ajv);
ajv.addFormat('binary', true);
ajv.addSchema({ $id: 'limner', components: document.components });
/** References of the document are to itself. */
const absolute = (schema: unknown): object =>
	JSON.parse(JSON.stringify(schema), (key, value: unknown) => (key === '$ref' ? `limner${String(value)}` : value)) as object;

const wrong = (media: Media, value: unknown): string => {
	const validate = ajv.compile(absolute(media.schema));
	return validate(value) ? '' : ajv.errorsText(validate.errors);
};

const valuesOf = (media: Media): unknown[] =>
	media.example === undefined
		? Object.keys(media.examples ?? {}).map((name) => (document.components.examples?.[name] as { value: unknown } | undefined)?.value)
		: [media.example];

describe('the OpenAPI document', () => {
	it.each(operations)('%s has an example of each body and of each code that fits its schema', (_id, operation) => {
		const contents = [operation.requestBody?.content ?? {}, ...Object.values(operation.responses).map(({ content }) => content ?? {})];
		for (const [type, media] of contents.flatMap((content) => Object.entries(content))) {
			if (!/json$|^text\//.test(type) || type === 'application/jsonl') continue;
			const values = valuesOf(media);
			expect(values.length, type).toBeGreaterThan(0);
			for (const value of values) expect(`${type} ${wrong(media, value)} ${JSON.stringify(value)}`).toMatch(/^\S+  /);
		}
	});

	it('names every operation once, with a summary, a tag that exists and its refusals', () => {
		const ids = operations.map(([id]) => id);
		expect(new Set(ids).size).toBe(ids.length);
		const tags = new Set((document as unknown as { tags: { name: string }[] }).tags.map(({ name }) => name));
		for (const [id, operation] of operations) {
			const { summary, tags: own = [] } = operation as Operation & { summary?: string; tags?: string[] };
			expect(summary, id).toBeTruthy();
			expect(
				own.filter((tag) => !tags.has(tag)),
				id,
			).toEqual([]);
			expect(Object.keys(operation.responses), id).toContain('500');
			const keyed = operation.security?.some((each) => 'ApiKey' in each) === true;
			expect(Object.keys(operation.responses), id).toEqual(expect.arrayContaining(keyed ? ['401'] : []));
		}
	});

	it('says of every list with places how long it is', () => {
		const loose: string[] = [];
		const walk = (value: unknown, at: string): void => {
			if (typeof value !== 'object' || value === null) return;
			if ('prefixItems' in value) {
				const { prefixItems, minItems, maxItems } = value as { prefixItems: unknown[]; minItems?: number; maxItems?: number };
				if (minItems !== prefixItems.length || maxItems !== prefixItems.length) loose.push(at);
			}
			for (const [key, inner] of Object.entries(value)) walk(inner, `${at}/${key}`);
		};
		walk(document, '#');
		expect(loose).toEqual([]);
		const request = document.components.schemas['JobRequest']?.properties ?? {};
		for (const name of ['originalSize', 'cropTopLeft', 'targetSize']) {
			expect(request[name]).toMatchObject({ type: 'array', items: { type: 'integer' }, minItems: 2, maxItems: 2 });
		}
		const [a, b] = [{ type: 'string' }, { type: 'number' }];
		expect(corrected({ pair: { prefixItems: [a, b] } })).toEqual({ pair: { prefixItems: [a, b], minItems: 2, maxItems: 2 } });
		expect(corrected({ pair: { prefixItems: [a, a] } })).toEqual({ pair: { items: a, minItems: 2, maxItems: 2 } });
	});

	it('links what is made to what can be asked about it', () => {
		const linksOf = (id: string, status: string): string[] =>
			Object.keys(operations.find(([name]) => name === id)?.[1].responses[status]?.links ?? {});
		expect(linksOf('submitJob', '202')).toEqual(expect.arrayContaining(['getJob', 'cancelJob', 'deleteJob', 'followJob']));
		expect(linksOf('createWebhook', '201')).toEqual(expect.arrayContaining(['getWebhook', 'deleteWebhook', 'testWebhook']));
		expect(linksOf('reportImage', '201')).toEqual(['dismissReport']);
		expect(linksOf('submitJob', '422')).toEqual([]);
		const known = new Set(operations.map(([id]) => id));
		const linked = operations.flatMap(([, { responses }]) => Object.values(responses).flatMap(({ links = {} }) => Object.values(links)));
		expect(linked.length).toBeGreaterThan(40);
		for (const link of linked) expect(known).toContain((link as { operationId: string }).operationId);
	});
});

/**
 * Links of the OpenAPI document: what can be asked about a thing that an operation has made. Made from the paths, so that no
 * operation is forgotten. Pure.
 * @module
 */
import type { Document, Operation, Schema } from './examples.ts';

/** Things that are made elsewhere than in the list that they stand in: path of the list, and where their id is in the answer. */
const ELSEWHERE: Record<string, { list: string; id: string }> = {
	reportImage: { list: '/api/v1/reports', id: '/id' },
	enrolNode: { list: '/api/v1/nodes', id: '/nodeId' },
	retryJob: { list: '/api/v1/jobs', id: '/id' },
	replicatePredictWithModel: { list: '/v1/predictions', id: '/id' },
};

/** Whether an answer of this schema has the field at its top. */
const hasField = (schema: Schema | undefined, name: string, schemas: Record<string, Schema>): boolean => {
	if (schema === undefined) return false;
	if (schema.$ref !== undefined) return hasField(schemas[schema.$ref.slice(schema.$ref.lastIndexOf('/') + 1)], name, schemas);
	return schema.properties?.[name] !== undefined || (schema.allOf ?? []).some((part) => hasField(part, name, schemas));
};

/** Operations below `<list>/{id}` that need no other part of a path. A PUT of the thing itself makes it: it has none yet. */
const aboutOne = (paths: Document['paths'], list: string): Operation[] =>
	Object.entries(paths)
		.filter(([path]) => path.startsWith(`${list}/{id}`) && path.indexOf('{', list.length + 2) === -1)
		.flatMap(([path, item]) =>
			Object.entries(item).flatMap(([method, operation]) => (method === 'put' && path === `${list}/{id}` ? [] : [operation])),
		);

/** Adds links to the answers of operations that make things. */
export const addLinks = ({ paths, components }: Document): void => {
	for (const [path, item] of Object.entries(paths)) {
		const { post } = item;
		// The operator makes a workspace, and is no member of it: what its owner may ask is not theirs.
		if (post === undefined || post.operationId === 'createWorkspace') continue;
		const { list, id } = ELSEWHERE[post.operationId ?? ''] ?? { list: path, id: '/id' };
		const targets = aboutOne(paths, list);
		for (const [status, response] of Object.entries(post.responses)) {
			const made = status.startsWith('2') && hasField(response.content?.['application/json']?.schema, id.slice(1), components.schemas);
			if (!made || targets.length === 0) continue;
			response.links = Object.fromEntries(
				targets.map(({ operationId = '' }) => [operationId, { operationId, parameters: { id: `$response.body#${id}` } }]),
			);
		}
	}
};

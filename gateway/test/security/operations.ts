/**
 * The operations of the OpenAPI document, and requests that ask for them.
 */
import { createApp } from '../../src/app.ts';
import { openapiDocument } from '../../src/routes/openapi/document.ts';
import { call } from '../http/harness.ts';
import type { Recipe } from './recipes.ts';

export interface Operation {
	id: string;
	method: string;
	path: string;
	scope: string | undefined;
	/** Needs a node's certificate instead of a key. */
	certificate: boolean;
	params: string[];
	json: boolean;
	statuses: string[];
}

interface RawOperation {
	operationId?: string;
	security?: Record<string, string[]>[];
	parameters?: { name: string; in: string }[];
	requestBody?: { content: Record<string, unknown> };
	responses: Record<string, unknown>;
}

export const readOperations = (): Operation[] => {
	const document = openapiDocument(createApp()) as unknown as { paths: Record<string, Record<string, RawOperation>> };
	return Object.entries(document.paths).flatMap(([path, item]) =>
		Object.entries(item).map(([method, raw]) => ({
			id: raw.operationId ?? '',
			method: method.toUpperCase(),
			path,
			scope: raw.security?.flatMap((each) => each['ApiKey'] ?? [])[0],
			certificate: raw.security?.some((each) => 'NodeCertificate' in each) ?? false,
			params: (raw.parameters ?? []).filter((each) => each.in === 'path').map((each) => each.name),
			json:
				raw.requestBody !== undefined && 'application/json' in raw.requestBody.content && Object.keys(raw.requestBody.content).length === 1,
			statuses: Object.keys(raw.responses),
		})),
	);
};

export const fill = (path: string, params: Record<string, string> = {}): string =>
	path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => encodeURIComponent(params[name] ?? 'x'));

export interface Answer {
	status: number;
	body: string;
}
/** Asks for an operation. A stream that is answered has no end: its body is not read. */
export const send = async ({ method, path }: Operation, key: string | null, recipe: Recipe = {}): Promise<Answer> => {
	const response = await call(`${fill(path, recipe.params)}${recipe.query ?? ''}`, {
		method,
		key,
		headers: { 'cf-connecting-ip': `10.9.${Math.floor(Math.random() * 250)}.${Math.floor(Math.random() * 250)}`, ...recipe.headers },
		...(recipe.json === undefined ? {} : { json: recipe.json }),
		...(recipe.body === undefined ? {} : { body: recipe.body as BodyInit }),
	});
	if (response.webSocket !== null) {
		response.webSocket.accept();
		response.webSocket.close(1000, 'seen');
		return { status: response.status, body: '' };
	}
	// A stream that is answered has no end.
	if (response.headers.get('content-type')?.includes('event-stream') === true) {
		await response.body?.cancel();
		return { status: response.status, body: '' };
	}
	return { status: response.status, body: await response.text() };
};

/**
 * The OpenAPI 3.1 document, generated from the route table.
 * @module
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { LIMNER_VERSION, REQUEST_LIMITS } from '@limner/shared';
import type { AppEnv } from '../../lib/context.ts';
import { problems } from '../../lib/openapi.ts';
import { corrected } from './corrections.ts';
import { addExamples, type Document, type Operation } from './examples.ts';
import { addLinks } from './links.ts';

const TAGS = [
	{ name: 'jobs', description: 'Make pictures and follow them' },
	{ name: 'workflows', description: 'Jobs that wait for each other' },
	{ name: 'images', description: 'Read and remove pictures' },
	{ name: 'assets', description: 'Upload pictures to start from' },
	{ name: 'models', description: 'What the pool can make' },
	{ name: 'nodes', description: 'Machines that join' },
	{ name: 'supervisor', description: 'Look after the machines' },
	{ name: 'pool', description: 'The coordination pool: its agents (slots) and tasks' },
	{ name: 'resources', description: 'Quotas, usage and reservations' },
	{ name: 'accounts', description: 'Sign in, sessions and passwords' },
	{ name: 'workspaces', description: 'Workspaces, members and invitations' },
	{ name: 'keys', description: 'API keys' },
	{ name: 'webhooks', description: 'Be told of what happens' },
	{ name: 'alerts', description: 'What needs somebody' },
	{ name: 'reports', description: 'Report a picture, and take it down' },
	{ name: 'hooks', description: 'Addresses that the gateway calls: e-mail and content policy' },
	{ name: 'dashboard', description: 'Who is there, and how it goes' },
	{ name: 'audit', description: 'The ledger of a workspace' },
	{ name: 'backup', description: 'Save and restore a workspace' },
	{ name: 'openai', description: 'For clients of OpenAI’s Images API' },
	{ name: 'a1111', description: 'For clients of AUTOMATIC1111’s web UI' },
	{ name: 'kserve', description: 'For clients of KServe, v1 and v2 (Open Inference Protocol)' },
	{ name: 'cog', description: 'For clients of Cog and Replicate' },
	{ name: 'operations', description: 'Health and metrics of the gateway' },
];

export type OpenApiDocument = ReturnType<OpenAPIHono<AppEnv>['getOpenAPI31Document']>;

const UNSAFE: ReadonlySet<string> = new Set(['post', 'put', 'patch', 'delete']);
const IDEMPOTENCY_KEY = {
	name: 'idempotency-key',
	in: 'header',
	required: false,
	description: 'A repeat with the same key and body gets the first answer again, for 24 hours',
	schema: { type: 'string', minLength: 1, maxLength: REQUEST_LIMITS.idempotencyKeyChars, pattern: '^[\\x20-\\x7e]+$' },
};

/** What every unsafe route of a key answers to `Idempotency-Key` (`lib/replay.ts`), unless it says so itself. */
const addIdempotency = (path: string, method: string, operation: Operation): void => {
	const keyed = operation.security?.some((each) => 'ApiKey' in each) === true;
	if (!keyed || !UNSAFE.has(method) || !path.startsWith('/api/v1/')) return;
	const { parameters = [], responses } = operation;
	if (parameters.some(({ name }) => name === IDEMPOTENCY_KEY.name)) return;
	operation.parameters = [...parameters, IDEMPOTENCY_KEY];
	const refusals = problems(409, 422);
	const copy = responses['401']?.content;
	for (const status of [409, 422] as const) {
		responses[status] ??= { description: refusals[status].description, ...(copy === undefined ? {} : { content: structuredClone(copy) }) };
	}
};

/** A task of the coordination pool is a job of the caller's: `lib/aliases` answers this path with the same handler. */
const addAlias = ({ paths }: Document): void => {
	const submit = paths['/api/v1/jobs']?.['post'];
	if (submit === undefined) return;
	const alias = {
		...structuredClone(submit),
		operationId: 'submitPoolTask',
		tags: ['pool'],
		summary: 'Submit a job, as POST /api/v1/jobs does',
	};
	paths['/api/v1/pool/tasks'] = { ...paths['/api/v1/pool/tasks'], post: alias };
};

/** Describes every route of an app. */
export const openapiDocument = (app: OpenAPIHono<AppEnv>): OpenApiDocument => {
	const registry = app.openAPIRegistry;
	if (!registry.definitions.some((definition) => definition.type === 'component')) {
		registry.registerComponent('securitySchemes', 'ApiKey', {
			type: 'http',
			scheme: 'bearer',
			description: 'An API key lk_…; the header X-API-Key works too',
		});
		registry.registerComponent('securitySchemes', 'StreamTicket', { type: 'apiKey', in: 'query', name: 'ticket' });
		registry.registerComponent('securitySchemes', 'NodeCertificate', {
			type: 'http',
			scheme: 'bearer',
			description: 'A node’s certificate, from POST /api/v1/nodes',
		});
	}
	const document = corrected(
		app.getOpenAPI31Document({
			openapi: '3.1.0',
			info: {
				title: 'Limner',
				version: LIMNER_VERSION,
				description: 'One image service out of many people’s GPUs.',
				license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
			},
			tags: TAGS,
			servers: [{ url: '/' }],
		}),
	);
	const open = document as unknown as Document;
	addAlias(open);
	for (const [path, item] of Object.entries(open.paths)) {
		for (const [method, operation] of Object.entries(item)) addIdempotency(path, method, operation);
	}
	addLinks(open);
	addExamples(open);
	return document;
};

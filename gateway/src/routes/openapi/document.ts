/**
 * The OpenAPI 3.1 document, generated from the route table.
 * @module
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { LIMNER_VERSION } from '@limner/shared';
import type { AppEnv } from '../../lib/context.ts';

const TAGS = [
	{ name: 'jobs', description: 'Make pictures and follow them' },
	{ name: 'workflows', description: 'Jobs that wait for each other' },
	{ name: 'images', description: 'Read and remove pictures' },
	{ name: 'assets', description: 'Upload pictures to start from' },
	{ name: 'models', description: 'What the pool can make' },
	{ name: 'nodes', description: 'Machines that join' },
	{ name: 'supervisor', description: 'Look after the machines' },
	{ name: 'resources', description: 'Quotas, usage and reservations' },
	{ name: 'accounts', description: 'Sign in, sessions and passwords' },
	{ name: 'workspaces', description: 'Workspaces, members and invitations' },
	{ name: 'keys', description: 'API keys' },
	{ name: 'openai', description: 'For clients of OpenAI’s Images API' },
	{ name: 'a1111', description: 'For clients of AUTOMATIC1111’s web UI' },
	{ name: 'kserve', description: 'For clients of KServe, v1 and v2 (Open Inference Protocol)' },
	{ name: 'cog', description: 'For clients of Cog and Replicate' },
	{ name: 'operations', description: 'Health and metrics of the gateway' },
];

export type OpenApiDocument = ReturnType<OpenAPIHono<AppEnv>['getOpenAPI31Document']>;

/**
 * A discriminator says that its field must be sent. `taskType` may be left out, and clients that are made from the document
 * would ask for it. The parts of a union tell themselves apart without it.
 */
const withoutDiscriminators = (document: OpenApiDocument): OpenApiDocument =>
	JSON.parse(
		JSON.stringify(document, (key, value: unknown) => (key === 'discriminator' && typeof value === 'object' ? undefined : value)),
	) as OpenApiDocument;

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
	return withoutDiscriminators(
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
};

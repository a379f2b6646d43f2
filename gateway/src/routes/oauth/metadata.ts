/**
 * What clients of OAuth learn about this gateway: RFC 8414 for the authorization server, RFC 9728 for `/mcp`.
 * @module
 */

/** Scopes that a client gets when it asks for none, and that `/mcp` names in its challenge. */
export const DEFAULT_SCOPES = ['jobs:read', 'jobs:write', 'images:read', 'images:write', 'resources:read'] as const;
/** All that a client may ask for, with what it lets it do. Keys, members, machines and webhooks are for people and API keys. */
export const SCOPE_TEXTS: Readonly<Record<string, string>> = {
	'jobs:read': 'see your jobs',
	'jobs:write': 'make pictures, and stop jobs',
	'images:read': 'see your pictures',
	'images:write': 'upload pictures to start from',
	'resources:read': 'see what the workspace has used',
	'supervisor:read': 'see the pool of machines',
	'supervisor:write': 'steer the pool of machines',
};

const PUBLIC = 'public, max-age=300';
/** Nothing here needs or takes a cookie, so any page may read it. */
export const OPEN = { 'Access-Control-Allow-Origin': '*', 'Cross-Origin-Resource-Policy': 'cross-origin' };
export const METADATA_HEADERS = { ...OPEN, 'Cache-Control': PUBLIC };

/** The address that access tokens are for (RFC 8707). */
export const resourceOf = (base: string): string => `${base}/mcp`;

/** RFC 8414. The issuer is the gateway's address. */
export const serverMetadata = (base: string): Record<string, unknown> => ({
	issuer: base,
	authorization_endpoint: `${base}/oauth/authorize`,
	token_endpoint: `${base}/oauth/token`,
	registration_endpoint: `${base}/oauth/register`,
	revocation_endpoint: `${base}/oauth/revoke`,
	jwks_uri: `${base}/.well-known/jwks.json`,
	service_documentation: `${base}/docs`,
	scopes_supported: Object.keys(SCOPE_TEXTS),
	response_types_supported: ['code'],
	response_modes_supported: ['query'],
	grant_types_supported: ['authorization_code', 'refresh_token'],
	token_endpoint_auth_methods_supported: ['none'],
	revocation_endpoint_auth_methods_supported: ['none'],
	code_challenge_methods_supported: ['S256'],
	authorization_response_iss_parameter_supported: true,
	client_id_metadata_document_supported: true,
	protected_resources: [resourceOf(base)],
});

/** RFC 9728. */
export const resourceMetadata = (base: string): Record<string, unknown> => ({
	resource: resourceOf(base),
	authorization_servers: [base],
	resource_name: 'Limner',
	resource_documentation: `${base}/docs`,
	bearer_methods_supported: ['header'],
	scopes_supported: DEFAULT_SCOPES,
});

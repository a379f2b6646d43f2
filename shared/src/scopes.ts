/**
 * What a caller may do. A scope is `resource:verb`; nothing is allowed without one. Roles of a workspace's members are
 * fixed sets of scopes.
 * @module
 */

/** Scopes that a key or a token may be given. `admin` covers all of them. */
export const SCOPES = [
	'jobs:read',
	'jobs:write',
	'images:read',
	'images:write',
	'supervisor:read',
	'supervisor:write',
	'nodes:read',
	'nodes:write',
	'nodes:join',
	'resources:read',
	'resources:write',
	'keys:read',
	'keys:write',
	'webhooks:read',
	'webhooks:write',
	'members:read',
	'members:write',
	'audit:read',
	'admin',
] as const;
export type KnownScope = (typeof SCOPES)[number];

/**
 * Scopes that nobody can give away, and that `admin` does not cover: `owner` comes with the role, `account` with a
 * signed-in person, `operator` (the whole gateway) with the key that the gateway was started with.
 */
export const RESERVED_SCOPES = ['owner', 'account', 'operator'] as const;

export const ROLES = ['owner', 'admin', 'member', 'viewer'] as const;
export type Role = (typeof ROLES)[number];

const VIEWER: readonly string[] = ['jobs:read', 'images:read', 'supervisor:read', 'nodes:read', 'resources:read', 'members:read'];

/** Scopes of each role. */
export const ROLE_SCOPES: Readonly<Record<Role, readonly string[]>> = {
	owner: ['admin', 'owner'],
	admin: ['admin'],
	member: [...VIEWER, 'jobs:write', 'images:write', 'resources:write', 'webhooks:read'],
	viewer: VIEWER,
};

/** Whether nobody can give it away. */
export const isReserved = (scope: string): boolean => (RESERVED_SCOPES as readonly string[]).includes(scope);

/** Whether scopes cover one scope. `admin` covers all that is not reserved; `x:write` does not cover `x:read`. */
export const hasScope = (scopes: readonly string[], needed: string): boolean =>
	scopes.includes(needed) || (scopes.includes('admin') && !isReserved(needed));

/** Of the wanted scopes, those that the given ones cover. */
export const narrowScopes = (given: readonly string[], wanted: readonly string[]): string[] =>
	wanted.filter((scope) => hasScope(given, scope));

const rank = (role: Role): number => ROLES.indexOf(role);
/** Whether a role is at least another one; the owner is above all. */
export const isAtLeast = (role: Role, needed: Role): boolean => rank(role) <= rank(needed);

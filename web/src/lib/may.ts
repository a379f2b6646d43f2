/**
 * Whether scopes cover a scope, as the gateway sees it. Pure.
 * @module
 */

/** Scopes that `admin` does not cover. */
const RESERVED = new Set(['owner', 'account', 'operator']);

export const mayDo = (scopes: readonly string[], scope: string): boolean =>
	scopes.includes(scope) || (scopes.includes('admin') && !RESERVED.has(scope));

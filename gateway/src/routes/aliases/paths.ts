/**
 * Paths of the source documents, and the ones that they stand for. Pure.
 * @module
 */

/** Tried in order; the first that fits wins. `$1` is what the group matched. */
const RULES: readonly (readonly [RegExp, string])[] = [
	[/^\/api\/jobs\/submit\/?$/, '/api/v1/jobs'],
	[/^\/(?:api|v1)\/jobs\/([^/]+)\/stream\/?$/, '/api/v1/jobs/$1/events'],
	[/^\/(?:api|v1)\/jobs\/([^/]+)\/status\/?$/, '/api/v1/jobs/$1'],
	[/^\/(?:api|v1)\/jobs(\/.*)?$/, '/api/v1/jobs$1'],
	[/^\/api\/(supervisor|resources)(\/.*)?$/, '/api/v1/$1$2'],
	[/^\/api\/coordination\/(pool|presence|dashboard|alerts|audit|webhooks)(\/.*)?$/, '/api/v1/$1$2'],
	[/^\/api\/coordination\/(initialize|agents|tasks|metrics|isolation-report|shutdown)(\/.*)?$/, '/api/v1/pool/$1$2'],
	[/^\/api\/coordination\/?$/, '/api/v1/pool'],
];

/** What a path (asked for with a method) stands for; `undefined` for one that is no alias. */
export const aliasOf = (path: string, method = 'GET'): string | undefined => {
	// A task is a job of the caller's; reading one shows the pool's side of it.
	if (method === 'POST' && /^\/api\/(?:v1\/pool|coordination(?:\/pool)?)\/tasks\/?$/.test(path)) return '/api/v1/jobs';
	const rule = RULES.find(([pattern]) => pattern.test(path));
	return rule === undefined ? undefined : path.replace(rule[0], rule[1]).replace(/(.)\/$/, '$1');
};

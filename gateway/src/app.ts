/**
 * The route table. Imports nothing that only exists inside workerd, so that the OpenAPI document can be made in Node.
 * @module
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { LimnerError } from '@limner/shared';
import { createMiddleware } from 'hono/factory';
import { methodNotAllowed } from 'hono/method-not-allowed';
import { mountDialects } from './dialects/index.ts';
import type { AppContext, AppEnv } from './lib/context.ts';
import { cors } from './lib/cors.ts';
import { perRequest } from './lib/middleware.ts';
import { newApp } from './lib/openapi.ts';
import { onError, problemResponse } from './lib/problem.ts';
import { alertsRoutes } from './routes/alerts/index.ts';
import { aliases } from './routes/aliases/index.ts';
import { aliasOf } from './routes/aliases/paths.ts';
import { assetsRoutes } from './routes/assets/index.ts';
import { auditRoutes } from './routes/audit/index.ts';
import { accountsRoutes } from './routes/accounts/index.ts';
import { authRoutes, jwksRoutes } from './routes/auth/index.ts';
import { backupRoutes } from './routes/backup/index.ts';
import { backupWorkspaceRoutes } from './routes/backup/workspace.ts';
import { poolRoutes } from './routes/pool/index.ts';
import { dashboardRoutes } from './routes/dashboard/index.ts';
import { eventsRoutes } from './routes/events/index.ts';
import { healthRoutes } from './routes/health/index.ts';
import { hooksRoutes } from './routes/hooks/index.ts';
import { imagesRoutes, jobImagesRoutes } from './routes/images/index.ts';
import { invitationsRoutes } from './routes/invitations/index.ts';
import { jobsRoutes } from './routes/jobs/index.ts';
import { joinTokensRoutes } from './routes/join-tokens/index.ts';
import { keysRoutes } from './routes/keys/index.ts';
import { metricsRoutes } from './routes/metrics/index.ts';
import { modelsRoutes } from './routes/models/index.ts';
import { nodesRoutes } from './routes/nodes/index.ts';
import { oauthRoutes } from './routes/oauth/index.ts';
import { objectsRoutes } from './routes/objects/index.ts';
import { openapiRoutes } from './routes/openapi/index.ts';
import { imageReportsRoutes, reportsRoutes } from './routes/reports/index.ts';
import { resultsRoutes } from './routes/results/index.ts';
import { schedulersRoutes } from './routes/schedulers/index.ts';
import { supervisorRoutes } from './routes/supervisor/index.ts';
import { webhooksRoutes } from './routes/webhooks/index.ts';
import { workflowsRoutes } from './routes/workflows/index.ts';
import { resourcesRoutes } from './routes/workspace/index.ts';
import { workspacesRoutes } from './routes/workspaces/index.ts';

const notAllowed = (c: AppContext, methods: string[]): Response => {
	const allow = methods.toSorted().join(', ');
	const answer = problemResponse(
		c,
		new LimnerError('method_not_allowed', { detail: `${c.req.method} is not possible here; allowed: ${allow}` }),
	);
	answer.headers.set('Allow', allow);
	return answer;
};

/** Methods of the paths without parameters, of those that take only some. */
const literalPaths = (app: OpenAPIHono<AppEnv>): Map<string, Set<string>> => {
	const all = new Map<string, Set<string>>();
	for (const { method, path } of app.routes) {
		if (/[:*{]/.test(path)) continue;
		const methods = all.get(path) ?? new Set();
		// A task of the coordination pool is a job: its path is one more name of the submit.
		const named = aliasOf(path, 'POST') === undefined ? [] : ['POST'];
		for (const each of [...named, ...(method === 'GET' ? ['GET', 'HEAD'] : [method])]) methods.add(each);
		all.set(path, methods);
	}
	return new Map([...all].filter(([, methods]) => !methods.has('ALL')));
};

/** KServe's verb at the end of a model's name: no model is called so. */
const PREDICT = /^\/v1\/models\/.+:predict$/;

/**
 * Refuses other methods on a path that stands in the table as it is: `DELETE /invitations/accept` must not mean the
 * invitation with the id `accept`.
 */
const strictMethods = (app: () => OpenAPIHono<AppEnv>) => {
	let literal: Map<string, Set<string>> | undefined;
	return createMiddleware<AppEnv>(async (c, next) => {
		literal ??= literalPaths(app());
		const methods = PREDICT.test(c.req.path) ? new Set(['POST']) : literal.get(c.req.path);
		return methods === undefined || methods.has(c.req.method) ? next() : notAllowed(c, [...methods]);
	});
};

/** The whole HTTP surface. */
export const createApp = (): OpenAPIHono<AppEnv> => {
	const app = newApp();
	app.use(aliases(() => app));
	app.use(perRequest);
	app.use(cors);
	app.use(strictMethods(() => app));
	app.use(methodNotAllowed({ app, onMethodNotAllowed: (c, methods) => notAllowed(c as AppContext, methods) }));
	app.onError(onError);
	app.notFound((c) => problemResponse(c, new LimnerError('not_found', { detail: 'there is nothing at this path; see /openapi.json' })));

	app.route('/', healthRoutes);
	app.route('/', metricsRoutes);
	app.route(
		'/',
		openapiRoutes(() => app),
	);
	app.route('/api/v1/jobs', jobsRoutes);
	app.route('/api/v1/jobs', eventsRoutes);
	app.route('/api/v1/jobs', jobImagesRoutes);
	app.route('/api/v1/workflows', workflowsRoutes);
	app.route('/api/v1/images', imagesRoutes);
	app.route('/api/v1/images', imageReportsRoutes);
	app.route('/api/v1/reports', reportsRoutes);
	app.route('/api/v1/hooks', hooksRoutes);
	app.route('/api/v1/assets', assetsRoutes);
	app.route('/api/v1/objects', objectsRoutes);
	app.route('/api/v1/results', resultsRoutes);
	app.route('/api/v1/models', modelsRoutes);
	app.route('/api/v1/schedulers', schedulersRoutes);
	app.route('/api/v1/nodes', nodesRoutes);
	app.route('/api/v1/join-tokens', joinTokensRoutes);
	app.route('/api/v1/supervisor', supervisorRoutes);
	app.route('/api/v1/resources', resourcesRoutes);
	app.route('/api/v1/audit', auditRoutes);
	app.route('/api/v1/webhooks', webhooksRoutes);
	app.route('/api/v1/alerts', alertsRoutes);
	app.route('/api/v1/pool', poolRoutes);
	app.route('/api/v1/backup', backupRoutes);
	app.route('/api/v1/backup', backupWorkspaceRoutes);
	app.route('/api/v1', dashboardRoutes);
	app.route('/api/v1/auth', authRoutes);
	app.route('/', jwksRoutes);
	app.route('/api/v1/accounts', accountsRoutes);
	app.route('/api/v1/keys', keysRoutes);
	app.route('/api/v1/workspaces', workspacesRoutes);
	app.route('/api/v1/invitations', invitationsRoutes);
	app.route('/', oauthRoutes());
	mountDialects(app);
	return app;
};

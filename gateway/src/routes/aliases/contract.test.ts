/** Every path that this gateway promises, its own and the aliases of the source documents, leads to a documented operation. */
import { describe, expect, it } from 'vitest';
import { createApp } from '../../app.ts';
import { openapiDocument } from '../openapi/document.ts';
import { aliasOf } from './paths.ts';

const paths = openapiDocument(createApp()).paths as unknown as Record<string, Record<string, { operationId?: string }>>;
const templates = Object.keys(paths).map((template) => ({
	template,
	// A fixed segment is nearer than a parameter: `/pool/agents` before `/pool/{id}`.
	parameters: template.match(/\{/g)?.length ?? 0,
	pattern: new RegExp(`^${template.replaceAll(/[.:]/g, String.raw`\$&`).replaceAll(/\{[^}]+\}/g, '[^/:]+')}$`),
}));

/** Operation of a request, by its own path or by what it is an alias of. */
const operationOf = (method: string, path: string): string | undefined => {
	const real = aliasOf(path, method) ?? path;
	const fitting = templates.filter(({ pattern }) => pattern.test(real)).toSorted((a, b) => a.parameters - b.parameters);
	return fitting.map(({ template }) => paths[template]?.[method.toLowerCase()]?.operationId).find((id) => id !== undefined);
};

/** Method, path below `/api/v1`, operation. */
const OWN: readonly (readonly [string, string, string])[] = [
	['POST', '/jobs', 'submitJob'],
	['GET', '/jobs', 'listJobs'],
	['GET', '/jobs/j', 'getJob'],
	['POST', '/jobs/j/cancel', 'cancelJob'],
	['DELETE', '/jobs/j', 'deleteJob'],
	['POST', '/jobs/j/retry', 'retryJob'],
	['POST', '/workflows', 'submitWorkflow'],
	['GET', '/jobs/j/events', 'followJob'],
	['POST', '/jobs/j/stream-ticket', 'createStreamTicket'],
	['GET', '/jobs/j/images/0', 'getJobImage'],
	['GET', '/images', 'listImages'],
	['GET', '/images/i', 'getImage'],
	['DELETE', '/images/i', 'deleteImage'],
	['GET', '/images/i/metadata', 'getImageMetadata'],
	['POST', '/images/i/report', 'reportImage'],
	['POST', '/images/i/takedown', 'takeDownImage'],
	['POST', '/assets', 'createAsset'],
	['GET', '/assets/a', 'getAsset'],
	['GET', '/models', 'listModels'],
	['GET', '/schedulers', 'listSchedulers'],
	['POST', '/nodes', 'enrolNode'],
	['GET', '/nodes/connect', 'connectNode'],
	['POST', '/join-tokens', 'createJoinToken'],
	['GET', '/join-tokens', 'listJoinTokens'],
	['GET', '/supervisor/workers', 'listWorkers'],
	['GET', '/supervisor/workers/n', 'getWorker'],
	['POST', '/supervisor/workers/n/pause', 'pauseWorker'],
	['POST', '/supervisor/workers/n/resume', 'resumeWorker'],
	['POST', '/supervisor/workers/n/terminate', 'terminateWorker'],
	['POST', '/supervisor/workers/n/drain', 'drainWorker'],
	['GET', '/supervisor/metrics', 'poolMetrics'],
	['GET', '/resources/quotas', 'resourceQuotas'],
	['GET', '/resources/usage', 'resourceUsage'],
	['POST', '/resources/allocate', 'allocateResources'],
	['POST', '/resources/release', 'releaseResources'],
	['POST', '/pool/initialize', 'initializePool'],
	['GET', '/pool', 'getPool'],
	['GET', '/pool/agents', 'listAgents'],
	['POST', '/pool/agents/a/fail', 'failAgent'],
	['GET', '/pool/tasks', 'listPoolTasks'],
	['GET', '/pool/tasks/t', 'getPoolTask'],
	['POST', '/pool/tasks', 'submitJob'],
	['GET', '/pool/metrics', 'coordinationMetrics'],
	['GET', '/pool/isolation-report', 'isolationReport'],
	['POST', '/pool/shutdown', 'shutdownPool'],
	['POST', '/accounts', 'createAccount'],
	['POST', '/auth/token', 'createToken'],
	['GET', '/keys', 'listKeys'],
	['GET', '/workspaces', 'listWorkspaces'],
	['GET', '/webhooks', 'listWebhooks'],
	['GET', '/audit', 'listAudit'],
	['GET', '/alerts', 'listAlerts'],
	['GET', '/presence', 'getPresence'],
	['GET', '/presence/events', 'followPresence'],
	['GET', '/dashboard', 'getDashboard'],
];

/** Where the source documents have them: what the paths above begin with, and what stands there instead. */
const ALIASES: readonly (readonly [own: RegExp, alias: string])[] = [
	[/^\/jobs\b/, '/api/jobs'],
	[/^\/jobs\b/, '/v1/jobs'],
	[/^\/supervisor\b/, '/api/supervisor'],
	[/^\/resources\b/, '/api/resources'],
	[/^\/pool\b/, '/api/coordination/pool'],
	[/^\/pool\b/, '/api/coordination'],
	[/^\/presence\b/, '/api/coordination/presence'],
	[/^\/dashboard\b/, '/api/coordination/dashboard'],
	[/^\/alerts\b/, '/api/coordination/alerts'],
	[/^\/audit\b/, '/api/coordination/audit'],
	[/^\/webhooks\b/, '/api/coordination/webhooks'],
];

const REST: readonly (readonly [string, string])[] = [
	['POST', '/v1/images/generations'],
	['POST', '/v1/images/edits'],
	['POST', '/v1/images/variations'],
	['GET', '/v1/models'],
	['POST', '/v1/models/m:predict'],
	['GET', '/v2'],
	['POST', '/v2/models/m/infer'],
	['POST', '/predictions'],
	['PUT', '/predictions/p'],
	['POST', '/sdapi/v1/txt2img'],
	['POST', '/sdapi/v1/img2img'],
	['GET', '/sdapi/v1/progress'],
	['GET', '/health'],
	['GET', '/ready'],
	['GET', '/metrics'],
];

describe('the HTTP surface', () => {
	it.each(OWN)('%s /api/v1%s is %s', (method, path, operation) => expect(operationOf(method, `/api/v1${path}`)).toBe(operation));

	it.each(
		OWN.flatMap(([method, path, operation]) =>
			ALIASES.filter(([own]) => own.test(path)).map(([own, alias]) => [method, path.replace(own, alias), operation] as const),
		),
	)('%s %s is %s', (method, path, operation) => expect(operationOf(method, path)).toBe(operation));

	it.each([
		['POST', '/api/jobs/submit', 'submitJob'],
		['GET', '/api/jobs/j/status', 'getJob'],
		['GET', '/api/jobs/j/stream', 'followJob'],
		['GET', '/v1/jobs/j/stream', 'followJob'],
	])('%s %s is %s', (method, path, operation) => expect(operationOf(method, path)).toBe(operation));

	it.each(REST)('%s %s is documented', (method, path) => expect(operationOf(method, path)).toBeTypeOf('string'));

	it('has no operation for what is not there', () => {
		expect(operationOf('GET', '/api/v1/nothing')).toBeUndefined();
		expect(operationOf('PUT', '/api/jobs')).toBeUndefined();
	});
});

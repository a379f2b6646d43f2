/**
 * What a good request looks like for each operation, with things made for it; those that need a machine or a picture are in
 * `recipes-machines.ts` and `recipes-pictures.ts`.
 */
import { makePng } from '../storage/pictures.ts';
import { ask, newMember, newTenant, PASSWORD } from '../tenancy/harness.ts';

export interface Tenant {
	ws: string;
	/** Token of the owner. */
	token: string;
	email: string;
	refresh: string;
	accountId: string;
	/** Key with `admin`. */
	key: string;
}

export interface Recipe {
	params?: Record<string, string>;
	query?: string;
	json?: unknown;
	body?: Uint8Array;
	headers?: Record<string, string>;
	/** Who asks; else a key with exactly the scope that the operation names. */
	as?: string | null;
	/** Settings for the time of the request. */
	vars?: Record<string, string>;
	/** What the path names belongs to no workspace. */
	everybodys?: boolean;
}

export type Make = (tenant: Tenant) => Promise<Recipe> | Recipe;

export const newFullTenant = async (): Promise<Tenant> => {
	const tenant = await newTenant();
	const { key } = (await ask('POST', '/keys', tenant.token, { name: 'all', scopes: ['admin'] })).body;
	return { ...tenant, key };
};

const make = async (tenant: Tenant, path: string, json: unknown): Promise<string> => {
	const answer = await ask('POST', path, tenant.key, json);
	if (answer.status >= 300) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
	return answer.body.id;
};
const byId =
	(path: string, json: unknown, more: Recipe = {}): Make =>
	async (tenant) => ({ params: { id: await make(tenant, path, json) }, ...more });

const JOB = { prompt: 'a red castle' };
const job = (more: Recipe = {}): Make => byId('/jobs', JOB, more);
const KEY = { name: 'made', scopes: ['jobs:read'] };
const HOOK = { url: 'https://example.com/hooks/limner' };
const hook = (more: Recipe = {}): Make => byId('/webhooks', HOOK, more);
const none: Make = () => ({});
const own =
	(more: Recipe = {}): Make =>
	({ ws }) => ({ params: { id: ws }, ...more });
const asPerson =
	(more: Recipe = {}): Make =>
	({ token }) => ({ as: token, ...more });
const png = (): Uint8Array => makePng({ width: 8, height: 8 });

const finishedJob = async (tenant: Tenant): Promise<string> => {
	const id = await make(tenant, '/jobs', JOB);
	await ask('POST', `/jobs/${id}/cancel`, tenant.key);
	return id;
};

export const RECIPES: Record<string, Make> = {
	health: none,
	ready: none,
	prometheus: () => ({ as: 'operator' }),
	jwks: none,
	submitJob: () => ({ json: JOB }),
	listJobs: none,
	getJob: job(),
	deleteJob: job(),
	cancelJob: job(),
	updateJob: job({ json: { priority: 9 } }),
	retryJob: async (tenant) => ({ params: { id: await finishedJob(tenant) } }),
	createStreamTicket: job(),
	submitWorkflow: () => ({ json: { jobs: [{ key: 'a', ...JOB }] } }),
	listImages: none,
	createAsset: () => ({ body: png(), headers: { 'content-type': 'image/png' } }),
	listModels: none,
	listSchedulers: none,
	createJoinToken: () => ({ json: {} }),
	listJoinTokens: none,
	revokeJoinToken: byId('/join-tokens', {}),
	listWorkers: none,
	poolMetrics: () => ({ as: 'operator' }),
	resourceQuotas: none,
	resourceUsage: none,
	allocateResources: () => ({ json: { images: 1 } }),
	releaseResources: async (tenant) => ({ json: { id: await make(tenant, '/resources/allocate', { images: 1 }) } }),
	listAudit: none,
	exportAudit: none,
	createWebhook: () => ({ json: HOOK }),
	listWebhooks: none,
	getWebhook: hook(),
	updateWebhook: hook({ json: { description: 'changed' } }),
	deleteWebhook: hook(),
	rotateWebhookSecret: hook(),
	listWebhookDeliveries: hook(),
	listAlerts: none,
	getAlertRules: none,
	setAlertRules: () => ({ json: { quota: { share: 0.9 } } }),
	listReports: none,
	listHooks: none,
	backupJobs: none,
	backupWorkspace: none,
	getDashboard: none,
	getPresence: none,
	createPresenceTicket: none,
	createToken: ({ email }) => ({ as: null, json: { grant: 'password', email, password: PASSWORD } }),
	revokeToken: ({ refresh }) => ({ as: null, json: { refreshToken: refresh } }),
	resetPassword: async ({ email }) => {
		const { token } = (await ask('POST', '/accounts/reset-links', undefined, { email })).body;
		return { as: null, json: { token, password: 'another good password' } };
	},
	getCaller: ({ key }) => ({ as: key }),
	listSessions: asPerson(),
	endSession: async ({ token }) => ({ as: token, params: { id: (await ask('GET', '/auth/sessions', token)).body.data[0]?.id ?? '' } }),
	createAccount: async () => {
		const made = (await ask('POST', '/workspaces', undefined, { name: 'New' })).body;
		const { token } = (await ask('POST', '/invitations/owner-link', undefined, { workspaceId: made.id })).body;
		return { as: null, json: { email: `${made.id}@example.com`, password: PASSWORD, invitation: token } };
	},
	getAccount: asPerson(),
	updateAccount: asPerson({ json: { name: 'Renamed' } }),
	deleteAccount: async ({ token }) => ({ as: (await newMember(token, 'viewer')).token, json: { password: PASSWORD } }),
	createResetLink: ({ email }) => ({ json: { email } }),
	createKey: () => ({ json: { name: 'narrow', scopes: ['keys:write'] } }),
	listKeys: none,
	getKey: byId('/keys', KEY),
	updateKey: byId('/keys', { name: 'made', scopes: ['keys:write'] }, { json: { name: 'changed' } }),
	revokeKey: byId('/keys', KEY),
	rotateKey: byId('/keys', { name: 'made', scopes: ['keys:write'] }, { json: {} }),
	listWorkspaces: none,
	createWorkspace: () => ({ as: 'operator', json: { name: 'Made' } }),
	getWorkspace: own(),
	updateWorkspace: own({ json: { name: 'Renamed' } }),
	deleteWorkspace: ({ ws, token }) => ({ as: token, params: { id: ws }, json: { confirm: ws, password: PASSWORD } }),
	setWorkspaceLimits: own({ json: { queued: 500 } }),
	listMembers: own(),
	setMemberRole: async ({ ws, token }) => ({
		as: token,
		params: { id: ws, accountId: (await newMember(token, 'viewer')).accountId },
		json: { role: 'member' },
	}),
	removeMember: async ({ ws, token }) => ({ as: token, params: { id: ws, accountId: (await newMember(token, 'viewer')).accountId } }),
	transferOwnership: async ({ ws, token }) => ({
		as: token,
		params: { id: ws },
		json: { accountId: (await newMember(token, 'admin')).accountId },
	}),
	createInvitation: ({ token }) => ({ as: token, json: { role: 'viewer' } }),
	listInvitations: none,
	createOwnerLink: async () => ({
		as: 'operator',
		json: { workspaceId: (await ask('POST', '/workspaces', undefined, { name: 'Ownerless' })).body.id },
	}),
	revokeInvitation: async ({ token }) => ({ params: { id: (await ask('POST', '/invitations', token, { role: 'viewer' })).body.id } }),
	previewInvitation: async ({ token }) => ({
		as: null,
		json: { invitation: (await ask('POST', '/invitations', token, { role: 'viewer' })).body.token },
	}),
	acceptInvitation: async ({ token }) => {
		const other = await newTenant();
		return { as: other.token, json: { invitation: (await ask('POST', '/invitations', token, { role: 'viewer' })).body.token } };
	},
	dialectListModels: none,
	submitPoolTask: () => ({ json: JOB }),
	getPool: none,
	shutdownPool: none,
	listAgents: none,
	listPoolTasks: none,
	getPoolTask: async (tenant) => ({ params: { id: `${await make(tenant, '/jobs', JOB)}.0` } }),
	coordinationMetrics: none,
	isolationReport: none,
	poolTimeline: none,
	kserveServer: none,
	kserveLive: none,
	kserveReady: none,
	cogHealth: none,
};

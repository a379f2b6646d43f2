/**
 * Good requests about machines, results and what looks after a workspace: they need a node, or a time before.
 */
import { createHash } from 'node:crypto';
import { imageId, rotateMessage } from '@limner/shared';
import { registryOf } from '../../src/lib/stubs.ts';
import { env } from 'cloudflare:workers';
import { connectHeaders } from '../http/harness.ts';
import { newIdentity } from '../pool/harness.ts';
import { grant, putResult } from '../storage/harness.ts';
import { makePng } from '../storage/pictures.ts';
import { ask } from '../tenancy/harness.ts';
import { drawnJob, enrolFor, machineOf, signAs, spareOf } from './drawing.ts';
import { newFullTenant, type Make, type Recipe, type Tenant } from './recipes.ts';

const machine: Make = async (tenant) => ({ params: { id: await machineOf(tenant) } });
const spare =
	(more: Recipe = {}): Make =>
	async (tenant) => ({ params: { id: await spareOf(tenant) }, ...more });

const reported = async (tenant: Tenant): Promise<string> => {
	const made = await registryOf(env).addReport({ ws: tenant.ws, imageId: `img_${tenant.ws}`, reason: 'other', detail: '', who: 'key:k' });
	if (!made.ok) throw new Error(made.detail);
	return made.report.id;
};
/** In a workspace of its own: what was looked at a moment ago is not looked at again. */
const alert: Make = async () => {
	const tenant = await newFullTenant();
	await reported(tenant);
	const { data } = (await ask('GET', '/alerts?state=raised', tenant.key)).body;
	return { as: tenant.key, params: { id: data[0]?.id ?? '' } };
};

/** A workspace that is being restored, and a key of it. */
const restoring = async (): Promise<Tenant> => {
	const tenant = await newFullTenant();
	await ask('POST', '/backup/restore', tenant.key);
	return tenant;
};

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
/** The ticket of a grant of another workspace: the ticket is the authority. */
const granted = async () => {
	const { task } = await grant();
	const png = makePng({ width: task.spec.width, height: task.spec.height });
	const headers = { 'content-type': 'image/png', 'content-length': String(png.length), 'x-content-sha256': digest(png) };
	const announced = { sha256: digest(png), bytes: png.length, contentType: 'image/png' };
	return { params: { ticket: task.ticket }, ticket: task.ticket, png, headers, announced };
};

export const MACHINE_RECIPES: Record<string, Make> = {
	uploadResult: async () => {
		const { params, png, headers } = await granted();
		return { as: null, params, body: png, headers };
	},
	resultUploadUrl: async () => {
		const { params, announced } = await granted();
		return { as: null, params, json: announced };
	},
	resultUploadDone: async () => {
		const { params, ticket, png, announced } = await granted();
		await (await putResult(ticket, png)).text();
		return { as: null, params, json: announced };
	},
	enrolNode: async ({ key }) => {
		const { token } = (await ask('POST', '/join-tokens', key, {})).body;
		return { as: null, json: { token, publicKey: (await newIdentity()).publicKey, name: 'tester' } };
	},
	renewNode: async (tenant) => ({ as: (await enrolFor(tenant)).enrolled.certificate }),
	rotateNodeKey: async (tenant) => {
		const { identity, enrolled } = await enrolFor(tenant);
		const { publicKey } = await newIdentity();
		const at = Date.now();
		const signature = await signAs(identity, rotateMessage(identity.id, publicKey, at));
		return { as: enrolled.certificate, json: { newPublicKey: publicKey, at, signature } };
	},
	connectNode: async (tenant) => {
		const { certificate } = (await enrolFor(tenant)).enrolled;
		return { as: certificate, headers: connectHeaders(certificate) };
	},
	approveNode: async (tenant) => ({ params: { id: (await enrolFor(tenant, true)).identity.id } }),
	banNode: async (tenant) => ({ params: { id: (await enrolFor(tenant)).identity.id }, json: { reason: 'it lies' } }),
	getWorker: machine,
	getWorkerTelemetry: machine,
	getWorkerHistory: machine,
	getWorkerMetrics: machine,
	listWorkerTasks: machine,
	pauseWorker: spare(),
	drainWorker: spare(),
	terminateWorker: spare(),
	resumeWorker: async (tenant) => {
		const id = await spareOf(tenant);
		await ask('POST', `/supervisor/workers/${id}/pause`, tenant.key);
		return { params: { id } };
	},
	initializePool: async (tenant) => {
		await spareOf(tenant);
		return { json: { size: 2 } };
	},
	failAgent: async (tenant) => ({ params: { id: `${await spareOf(tenant)}.s0` }, json: { reason: 'the fan has stopped' } }),
	acknowledgeAlert: alert,
	resolveAlert: alert,
	testHook: () => ({
		as: 'operator',
		params: { kind: 'email' },
		vars: { EMAIL_HOOK_URL: 'https://mail.example.com/limner' },
	}),
	forgotPassword: ({ email }) => ({
		as: null,
		json: { email },
		vars: { EMAIL_HOOK_URL: 'https://mail.example.com/limner', PUBLIC_URL: 'https://limner.example' },
	}),
	beginRestore: async () => ({ as: (await newFullTenant()).key }),
	restoreRows: async () => ({ as: (await restoring()).key, json: { rows: [], jobs: [] } }),
	restoreWorkspace: async () => ({ as: (await restoring()).key, json: { parts: [] } }),
	finishRestore: async () => ({ as: (await restoring()).key, json: { seq: 0, hash: '0'.repeat(64) } }),
	testWebhook: async ({ key }) => ({ params: { id: (await ask('POST', '/webhooks', key, HOOK)).body.id } }),
	redeliverWebhook: async ({ key }) => {
		const { id } = (await ask('POST', '/webhooks', key, HOOK)).body;
		const delivery = await ask('POST', `/webhooks/${id}/test`, key);
		return { params: { id, deliveryId: delivery.body.id } };
	},
	followPresence: () => ({}),
	getWorkflow: async ({ key }) => ({ params: { id: (await ask('POST', '/workflows', key, GRAPH)).body.id } }),
	cancelWorkflow: async ({ key }) => ({ params: { id: (await ask('POST', '/workflows', key, GRAPH)).body.id } }),
	followWorkflow: async ({ key }) => ({ params: { id: (await ask('POST', '/workflows', key, GRAPH)).body.id } }),
	followJob: async ({ key }) => ({ params: { id: (await ask('POST', '/jobs', key, { prompt: 'x' })).body.id } }),
	reportImage: async (tenant) => ({ params: { id: imageId(await drawnJob(tenant), 0) }, json: { reason: 'other' } }),
	takeDownImage: async (tenant) => ({ params: { id: imageId(await drawnJob(tenant), 0) }, json: { reason: 'it must go' } }),
	dismissReport: async (tenant) => ({ params: { id: await reported(tenant) }, json: {} }),
};
const HOOK = { url: 'https://example.com/hooks/limner' };
const GRAPH = { jobs: [{ key: 'a', prompt: 'a red castle' }] };

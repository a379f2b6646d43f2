/**
 * A machine of a tenant that draws whatever it is asked for, so that the happy case of every operation can be seen.
 */
import { env } from 'cloudflare:workers';
import { createHash } from 'node:crypto';
import type { GatewayFrame } from '@limner/shared';
import { call, connectHeaders, type Enrolled } from '../http/harness.ts';
import { workspaceOf } from '../../src/lib/stubs.ts';
import { newIdentity, TestNode, until, type Identity } from '../pool/harness.ts';
import { makePng } from '../storage/pictures.ts';
import type { Tenant } from './recipes.ts';

const HOUR_MS = 3_600_000;

export interface Machine {
	identity: Identity;
	enrolled: Enrolled;
}

/** Enrolled, and never connected. */
export const enrolFor = async ({ key, ws }: Tenant, approval = false): Promise<Machine> => {
	const { token } = await (await call('/api/v1/join-tokens', { key, json: { approval } })).json<{ token: string }>();
	const identity = await newIdentity(ws);
	const response = await call('/api/v1/nodes', { key: null, json: { token, publicKey: identity.publicKey, name: 'tester' } });
	const enrolled = await response.json<Enrolled>();
	return { identity: { ...identity, id: enrolled.nodeId }, enrolled };
};

type Task = Extract<GatewayFrame, { t: 'task' }>;

const draw = async (node: TestNode, task: Task): Promise<void> => {
	node.ack(task);
	const png = makePng({ width: task.spec.width, height: task.spec.height });
	node.generated(task);
	const sha256 = createHash('sha256').update(png).digest('hex');
	const headers = { 'content-type': 'image/png', 'content-length': String(png.length), 'x-content-sha256': sha256 };
	await (await call(`/api/v1/results/${task.ticket}`, { method: 'PUT', key: null, body: png as BodyInit, headers })).text();
};

const drawAll = async (node: TestNode): Promise<void> => {
	for (;;) await draw(node, await node.frame('task', HOUR_MS));
};

const machines = new Map<string, Promise<TestNode>>();

const start = async (tenant: Tenant): Promise<TestNode> => {
	const { identity, enrolled } = await enrolFor(tenant);
	const response = await call('/api/v1/nodes/connect', { key: null, headers: connectHeaders(enrolled.certificate) });
	if (response.webSocket === null) throw new Error(`no socket: ${response.status}`);
	const node = new TestNode(identity, response.webSocket);
	await node.hello({ slots: 2 });
	// It ends with its socket.
	void drawAll(node).catch(() => undefined);
	return node;
};

/** The id of the tenant's machine. */
export const machineOf = async (tenant: Tenant): Promise<string> => {
	const node = machines.get(tenant.ws) ?? start(tenant);
	machines.set(tenant.ws, node);
	return (await node).identity.id;
};

/** One that goes away afterwards: it is paused, drained or failed. */
export const spareOf = async (tenant: Tenant): Promise<string> => (await start(tenant)).identity.id;

/** A job whose picture is there. */
export const drawnJob = async (tenant: Tenant): Promise<string> => {
	await machineOf(tenant);
	const answer = await call('/api/v1/jobs?wait=30', { key: tenant.key, json: { prompt: 'a red castle', width: 64, height: 64 } });
	const { id, state } = await answer.json<{ id: string; state: string }>();
	if (state !== 'succeeded') throw new Error(`the picture of a tenant: ${answer.status} ${state}`);
	await until(async () => (await workspaceOf(env, tenant.ws).getJob(id))?.state === 'succeeded', 'settlement');
	return id;
};

/** Signature of a node, base64url. */
export const signAs = async ({ keys }: Identity, message: string): Promise<string> =>
	Buffer.from(await crypto.subtle.sign('Ed25519', keys.privateKey, new TextEncoder().encode(message))).toString('base64url');

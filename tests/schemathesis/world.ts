/**
 * The gateway under test: two mock nodes, an owner who is signed in, and keys, described in a file for the hooks.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { startWorkshop } from './workshop.ts';

/** What things/core.py calls the model of the mock nodes. */
const MODEL = 'storybook';

export interface World {
	gateway: TestGateway;
	/** A key with one scope. */
	narrowKey: string;
	stop(): Promise<void>;
}

/** The scope of the narrow key. */
export const NARROW_SCOPE = 'jobs:read';

const must = async <T>(gateway: TestGateway, path: string, body: unknown): Promise<T> => {
	const answer = await gateway.api<T>('POST', `/api/v1${path}`, body);
	if (answer.status >= 300) throw new Error(`${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
	return answer.body;
};

/** @param file where the hooks read what there is */
export const startWorld = async (file: string): Promise<World> => {
	const workshop = await startWorkshop();
	const hook = `${workshop.url}/sink`;
	const gateway = await startTestGateway({
		DEFAULT_MODEL: MODEL,
		MAX_QUEUE_DEPTH: '100000',
		LOG_LEVEL: 'error',
		SIGNUP: 'invite',
		PUBLIC_URL: 'https://limner.example',
		EMAIL_HOOK_URL: hook,
		CONTENT_POLICY: JSON.stringify({ hook: { url: hook, prompts: false, results: false, onFailure: 'allow' } }),
		// The sink is on this machine.
		WEBHOOK_ALLOW_PRIVATE: 'true',
	}).catch(async (error: unknown) => {
		await workshop.stop();
		throw error;
	});
	workshop.secret = gateway.state.secret;
	const nodes: TestNode[] = [];
	try {
		for (const name of ['first', 'second', 'third'])
			nodes.push(await startTestNode(gateway, { name, stepMs: 0, slots: 4, args: [`--mock-model=${MODEL}`] }));
		const workers = await gateway.workers();
		const password = randomBytes(18).toString('base64url');
		const { token } = await must<{ token: string }>(gateway, '/invitations/owner-link', { workspaceId: 'main' });
		const email = 'owner@example.com';
		await must(gateway, '/accounts', { email, password, invitation: token });
		const { key: narrowKey } = await must<{ key: string }>(gateway, '/keys', { name: 'narrow', scopes: [NARROW_SCOPE] });
		writeFileSync(
			file,
			JSON.stringify({
				url: gateway.url,
				adminKey: gateway.key,
				email,
				password,
				workers: workers.map(({ id }) => id),
				workshop: workshop.url,
			}),
			{ mode: 0o600 },
		);
		const stop = async (): Promise<void> => {
			for (const node of nodes) await node.stop();
			await gateway.stop();
			await workshop.stop();
		};
		return { gateway, narrowKey, stop };
	} catch (error) {
		for (const node of nodes) await node.kill();
		await gateway.stop();
		await workshop.stop();
		throw error;
	}
};

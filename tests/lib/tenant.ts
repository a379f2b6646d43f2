/**
 * Further workspaces of a test gateway, made as an operator and a person would make them.
 * @module
 */
import type { TestGateway } from './gateway.ts';

export const PASSWORD = 'correct horse battery';

const must = async <T>(answer: Promise<{ status: number; body: T }>): Promise<T> => {
	const { status, body } = await answer;
	if (status >= 300) throw new Error(`${status}: ${JSON.stringify(body)}`);
	return body;
};

/** Makes the first owner of a workspace; answers the owner's access token. */
export const newOwner = async (gateway: TestGateway, workspaceId: string, email: string): Promise<string> => {
	const link = await must(gateway.api<{ token: string }>('POST', '/api/v1/invitations/owner-link', { workspaceId }));
	const account = { email, password: PASSWORD, invitation: link.token };
	return (await must(gateway.api<{ accessToken: string }>('POST', '/api/v1/accounts', account))).accessToken;
};

/** A workspace of its own, with an API key. */
export const newWorkspaceKey = async (gateway: TestGateway, id: string): Promise<string> => {
	await must(gateway.api('POST', '/api/v1/workspaces', { name: id, id }));
	const token = await newOwner(gateway, id, `${id}@example.com`);
	const request = { name: 'test', scopes: ['jobs:read', 'jobs:write', 'images:read', 'images:write'] };
	const headers = { authorization: `Bearer ${token}` };
	return (await must(gateway.api<{ key: string }>('POST', '/api/v1/keys', request, headers))).key;
};

/** Id of the workspace that the gateway was started with. */
export const firstWorkspace = async (gateway: TestGateway): Promise<string> =>
	(await must(gateway.api<{ data: { id: string }[] }>('GET', '/api/v1/workspaces'))).data[0]?.id ?? '';

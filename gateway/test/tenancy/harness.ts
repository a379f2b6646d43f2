import { env } from 'cloudflare:workers';
import { call, problemOf } from '../http/harness.ts';

/** Anything that a route answered. */
export interface Body {
	id: string;
	code: string;
	status: number;
	detail: string;
	key: string;
	token: string;
	url: string;
	name: string;
	role: string;
	state: string;
	accessToken: string;
	refreshToken: string;
	scopes: string[];
	account: { id: string };
	workspaces: unknown[];
	keys: { kid: string; d?: string }[];
	limits: object | null;
	lastUsedAt: string | null;
	data: (Body & { current: boolean; accountId: string })[];
}

export interface Answer {
	status: number;
	body: Body;
	headers: Headers;
}

/** A request and its answer, read. */
export const ask = async (
	method: string,
	path: string,
	key: string | null | undefined,
	json?: unknown,
	headers: Record<string, string> = {},
): Promise<Answer> => {
	const response = await call(`/api/v1${path}`, {
		method,
		...(key === undefined ? {} : { key }),
		...(json === undefined ? {} : { json }),
		headers: { 'cf-connecting-ip': `10.${Math.floor(Math.random() * 250)}.${Math.floor(Math.random() * 250)}.1`, ...headers },
	});
	const text = await response.text();
	return { status: response.status, headers: response.headers, body: (text === '' ? {} : JSON.parse(text)) as Body };
};

export const PASSWORD = 'correct horse battery';

/** With another value of a variable for the time of one call. */
export const withVar = async <T>(name: string, value: string, run: () => Promise<T>): Promise<T> => {
	const vars = env as unknown as Record<string, string>;
	const before = vars[name] ?? '';
	vars[name] = value;
	try {
		return await run();
	} finally {
		vars[name] = before;
	}
};

let count = 0;
export const newEmail = (): string => `person${count++}@example.com`;

/** A workspace with an owner who is signed in. */
export const newTenant = async (): Promise<{ ws: string; token: string; email: string; refresh: string; accountId: string }> => {
	const ws = `tenant-${count++}`;
	const made = await ask('POST', '/workspaces', undefined, { name: ws, id: ws });
	if (made.status !== 201) throw new Error(JSON.stringify(made.body));
	const link = await ask('POST', '/invitations/owner-link', undefined, { workspaceId: ws });
	const email = newEmail();
	const account = await ask('POST', '/accounts', null, { email, password: PASSWORD, invitation: link.body.token });
	if (account.status !== 201) throw new Error(JSON.stringify(account.body));
	return { ws, email, token: account.body.accessToken, refresh: account.body.refreshToken, accountId: account.body.account.id };
};

/** Adds a member to a tenant's workspace. */
export const newMember = async (
	owner: string,
	role: string,
): Promise<{ token: string; accountId: string; email: string; refresh: string }> => {
	const email = newEmail();
	const invitation = await ask('POST', '/invitations', owner, { role, email });
	if (invitation.status !== 201) throw new Error(JSON.stringify(invitation.body));
	const made = await withVar('SIGNUP', 'invite', () =>
		ask('POST', '/accounts', null, { email, password: PASSWORD, invitation: invitation.body.token }),
	);
	if (made.status !== 201) throw new Error(JSON.stringify(made.body));
	return { token: made.body.accessToken, refresh: made.body.refreshToken, accountId: made.body.account.id, email };
};

export { call, problemOf };

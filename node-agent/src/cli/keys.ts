/**
 * `limner keys` and `limner accounts`: API keys, and the links by which people get in.
 * @module
 */
import { createHash, randomBytes } from 'node:crypto';
import { newApiKey, SCOPES, WORKSPACE_ID_PATTERN } from '@limner/shared';
import { InvalidArgumentError, type Command } from 'commander';
import { call } from '../client/index.ts';
import { settings } from '../config/settings.ts';
import { UserError } from '../lib/user-error.ts';

const KEY_RANDOM_BYTES = 37;

const workspaceId = (text: string): string => {
	if (!WORKSPACE_ID_PATTERN.test(text))
		throw new InvalidArgumentError('A workspace is lower-case letters, digits and dashes, like "main".');
	return text;
};

const scopeList = (text: string): string[] => {
	const scopes = text.split(',').map((scope) => scope.trim());
	const unknown = scopes.filter((scope) => !(SCOPES as readonly string[]).includes(scope));
	if (unknown.length > 0) throw new InvalidArgumentError(`There is no scope ${unknown.join(', ')}; there are: ${SCOPES.join(', ')}.`);
	return scopes;
};

/** One call with the key of the settings. */
const ask = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
	const { url, apiKey } = settings();
	if (apiKey === undefined || apiKey === '') throw new UserError('There is no API key; run `limner login` or set LIMNER_API_KEY.');
	const response = await call(url, apiKey, `/api/v1${path}`, {
		method,
		...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
	});
	return (await response.json()) as T;
};

interface KeyInfo {
	id: string;
	name: string;
	scopes: string[];
	expiresAt: string | null;
	revokedAt: string | null;
	lastUsedAt: string | null;
}

const line = (key: KeyInfo): string => {
	const state = key.revokedAt !== null ? `revoked ${key.revokedAt}` : key.expiresAt === null ? 'no expiry' : `until ${key.expiresAt}`;
	return `${key.id}  ${key.name === '' ? '-' : key.name}  ${key.scopes.join(',')}  ${state}  last used ${key.lastUsedAt ?? 'never'}`;
};

/** The text on stdout alone, so that it can be piped. */
const show = (made: { id: string; key: string }): void => {
	console.log(made.key);
	console.error(`limner: this is the only time that key ${made.id} is shown.`);
};

const bootstrapKey = (flags: { workspace: string }): void => {
	const key = newApiKey(flags.workspace, randomBytes(KEY_RANDOM_BYTES));
	console.log(`API key                ${key}`);
	console.log(`BOOTSTRAP_KEY_SHA256   ${createHash('sha256').update(key).digest('hex')}`);
	console.error('limner: keep the key; the gateway is told the hash only.');
};

interface CreateFlags {
	scopes: string[];
	expires?: string;
	model?: string[];
}

const createKey = async (name: string, flags: CreateFlags): Promise<void> => {
	const body = { name, scopes: flags.scopes, expiresAt: flags.expires ?? null, models: flags.model ?? null };
	show(await ask('POST', '/keys', body));
};

const isoTime = (text: string): string => {
	const at = Date.parse(text);
	if (Number.isNaN(at)) throw new InvalidArgumentError('Write a time like 2027-01-31 or 2027-01-31T12:00:00Z.');
	return new Date(at).toISOString();
};

const seconds = (text: string): number => {
	const value = Number(text);
	if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('Write a whole number of seconds.');
	return value;
};

const registerAccounts = (program: Command): void => {
	const accounts = program.command('accounts').description('people who sign in');
	accounts
		.command('owner-link')
		.description('make the link by which the first owner of a workspace makes an account')
		.option('--workspace <id>', 'the workspace (default: that of the key)', workspaceId)
		.action(async (flags: { workspace?: string }) => {
			const made = await ask<{ url: string; expiresAt: string }>(
				'POST',
				'/invitations/owner-link',
				flags.workspace === undefined ? {} : { workspaceId: flags.workspace },
			);
			console.log(made.url);
			console.error(`limner: good once, until ${made.expiresAt}.`);
		});
	accounts
		.command('reset-link <email>')
		.description('make a password reset link (needs the key that the gateway was started with)')
		.action(async (email: string) => {
			const made = await ask<{ url: string; expiresAt: string }>('POST', '/accounts/reset-links', { email });
			console.log(made.url);
			console.error(`limner: good once, until ${made.expiresAt}.`);
		});
};

/** @param program gets `keys` and `accounts` */
export const registerKeys = (program: Command): void => {
	const keys = program.command('keys').description('API keys');
	keys
		.command('new')
		.description('make a key, and the hash that a gateway is told at its first start')
		.option('--workspace <id>', 'workspace of the key', workspaceId, 'main')
		.action(bootstrapKey);
	keys
		.command('list')
		.description('list the keys of the workspace')
		.action(async () => {
			const { data } = await ask<{ data: KeyInfo[] }>('GET', '/keys');
			for (const key of data) console.log(line(key));
		});
	keys
		.command('create <name>')
		.description('make a key of the workspace; its text is printed once')
		.option('--scopes <list>', 'scopes, separated by commas', scopeList, ['jobs:read', 'jobs:write', 'images:read', 'images:write'])
		.option('--expires <time>', 'when it ends', isoTime)
		.option('--model <name...>', 'models that it may use (default: all)')
		.action(createKey);
	keys
		.command('rotate <id>')
		.description('give a key a new text')
		.option('--grace <seconds>', 'the old text stays good for so long', seconds, 0)
		.action(async (id: string, flags: { grace: number }) => {
			show(await ask('POST', `/keys/${encodeURIComponent(id)}/rotate`, { graceS: flags.grace }));
		});
	keys
		.command('revoke <id>')
		.description('end a key, everywhere within a second')
		.action(async (id: string) => {
			console.log(line(await ask('DELETE', `/keys/${encodeURIComponent(id)}`)));
		});
	registerAccounts(program);
};

/**
 * `limner login`: keeps the address and the key of a gateway, after trying them.
 * @module
 */
import { chmodSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { parseApiKey } from '@limner/shared';
import type { Command } from 'commander';
import { call, GatewayError } from '../client/index.ts';
import { settings } from '../config/settings.ts';
import { realFs, writeAtomic } from '../lib/durable-fs.ts';
import { loginFile } from '../lib/paths.ts';
import { errorCode, EXIT, messageOf, UserError } from '../lib/user-error.ts';
import { gatewayAddress } from './parse.ts';

interface LoginFlags {
	url?: string;
	key?: string;
}

const ask = async (question: string): Promise<string> => {
	if (!process.stdin.isTTY) throw new UserError('Give the API key with --key, or in LIMNER_API_KEY.', { exitCode: EXIT.usage });
	const terminal = createInterface({ input: process.stdin, output: process.stderr });
	try {
		return (await terminal.question(question)).trim();
	} finally {
		terminal.close();
	}
};

const check = async (url: string, key: string): Promise<void> => {
	if (parseApiKey(key) === undefined) throw new UserError('That is not an API key; they look like lk_main_1a2b3c4d_….');
	try {
		await call(url, key, '/api/v1/jobs?limit=1');
	} catch (error) {
		if (error instanceof GatewayError && error.status === 401) {
			throw new UserError(`The gateway at ${url} does not know this key; copy it again, or ask for a new one.`, { cause: error });
		}
		// A key without the scope to list jobs is a good key all the same.
		if (!(error instanceof GatewayError && error.status === 403)) throw error;
	}
};

/** Writes the login file, readable by its owner only. */
export const saveLogin = async (file: string, login: { url: string; apiKey: string }): Promise<void> => {
	try {
		mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
		await writeAtomic(realFs, file, `${JSON.stringify(login, null, '\t')}\n`, 0o600);
		chmodSync(file, 0o600);
	} catch (error) {
		throw new UserError(`${file} cannot be written (${errorCode(error) ?? messageOf(error)}); set LIMNER_URL and LIMNER_API_KEY instead.`, {
			cause: error,
		});
	}
};

const login = async (flags: LoginFlags): Promise<void> => {
	const url = flags.url ?? settings().url;
	const key = flags.key ?? process.env['LIMNER_API_KEY'] ?? (await ask(`API key for ${url}: `));
	await check(url, key);
	await saveLogin(loginFile(), { url, apiKey: key });
	console.log(`Logged in at ${url}; kept in ${loginFile()}.`);
};

export const registerLogin = (program: Command): void => {
	program
		.command('login')
		.description('keep the address and key of a gateway')
		.option('--url <address>', 'the gateway (default: LIMNER_URL)', gatewayAddress)
		.option('--key <key>', 'API key (default: LIMNER_API_KEY, else it is asked for)')
		.action(login);
};

/**
 * `limner keys new`: an API key for a gateway's first start.
 * @module
 */
import { createHash, randomBytes } from 'node:crypto';
import { newApiKey, WORKSPACE_ID_PATTERN } from '@limner/shared';
import { InvalidArgumentError, type Command } from 'commander';

const KEY_RANDOM_BYTES = 37;

const workspaceId = (text: string): string => {
	if (!WORKSPACE_ID_PATTERN.test(text))
		throw new InvalidArgumentError('A workspace is lower-case letters, digits and dashes, like "main".');
	return text;
};

export const registerKeys = (program: Command): void => {
	program
		.command('keys')
		.description('API keys')
		.command('new')
		.description('make a key, and the hash that a gateway is told at its first start')
		.option('--workspace <id>', 'workspace of the key', workspaceId, 'main')
		.action((flags: { workspace: string }) => {
			const key = newApiKey(flags.workspace, randomBytes(KEY_RANDOM_BYTES));
			console.log(`API key                ${key}`);
			console.log(`BOOTSTRAP_KEY_SHA256   ${createHash('sha256').update(key).digest('hex')}`);
			console.error('limner: keep the key; the gateway is told the hash only.');
		});
};

/**
 * `limner mcp`: an MCP server for hosts that start their servers, and `limner mcp install`, which tells a host of it.
 * @module
 */
import { copyFileSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Argument, type Command } from 'commander';
import { settings } from '../../config/settings.ts';
import { realFs, writeAtomic } from '../../lib/durable-fs.ts';
import { userPath } from '../../lib/paths.ts';
import { errorCode, messageOf, UserError } from '../../lib/user-error.ts';
import { configFile, fieldOf, HOSTS, httpEntry, mergeServer, stdioEntry, type Host } from './hosts.ts';

const MAIN = fileURLToPath(new URL('../../mcp/main.ts', import.meta.url));

interface InstallFlags {
	name: string;
	config?: string;
	http?: true;
	print?: true;
}

const keyOf = (): string => {
	const { apiKey } = settings();
	if (apiKey === undefined || apiKey === '') throw new UserError('There is no API key; run `limner login` or set LIMNER_API_KEY.');
	return apiKey;
};

const entryFor = (host: Host, flags: InstallFlags): object => {
	const { url } = settings();
	const key = keyOf();
	if (flags.http !== true) {
		// The host starts it in a folder of its own, with an environment of its own.
		return stdioEntry(host, {
			command: process.execPath,
			args: ['--disable-warning=ExperimentalWarning', MAIN],
			env: { LIMNER_URL: url, LIMNER_API_KEY: key },
		});
	}
	if (host === 'claude-desktop') throw new UserError('Claude Desktop starts its servers itself; leave --http out.');
	return httpEntry(host, url, key);
};

const readOr = (file: string): string => {
	try {
		return readFileSync(file, 'utf8');
	} catch (error) {
		if (errorCode(error) === 'ENOENT') return '';
		throw new UserError(`${file} cannot be read (${errorCode(error) ?? messageOf(error)}).`, { cause: error });
	}
};

/** Sets one server in a host's file; what was there before is kept beside it. */
export const installServer = async (file: string, host: Host, name: string, entry: object): Promise<{ backup: string | undefined }> => {
	const before = readOr(file);
	let after: string;
	try {
		after = mergeServer(before, fieldOf(host), name, entry);
	} catch (error) {
		const snippet = JSON.stringify({ [name]: entry }, null, 2);
		throw new UserError(`${file} was left as it is: ${messageOf(error)}. Add this to its "${fieldOf(host)}" by hand:\n${snippet}`, {
			cause: error,
		});
	}
	const backup = before === '' ? undefined : `${file}.before-limner`;
	const mode = before === '' ? 0o600 : statSync(file).mode & 0o777;
	mkdirSync(dirname(file), { recursive: true });
	if (backup !== undefined) copyFileSync(file, backup);
	await writeAtomic(realFs, file, after, mode);
	return { backup };
};

const install = async (host: Host, flags: InstallFlags): Promise<void> => {
	const entry = entryFor(host, flags);
	if (flags.print === true) {
		console.log(JSON.stringify({ [fieldOf(host)]: { [flags.name]: entry } }, null, 2));
		return;
	}
	const file =
		flags.config === undefined
			? configFile(host, { platform: process.platform, home: homedir(), env: process.env })
			: userPath(flags.config);
	const { backup } = await installServer(file, host, flags.name, entry);
	const kept = backup === undefined ? '' : ` What was there before is in ${backup}.`;
	console.log(`${file} has the server "${flags.name}" now, with the API key in it.${kept} Start ${host} anew.`);
};

export const registerMcp = (program: Command): void => {
	const mcp = program
		.command('mcp')
		.description('an MCP server on standard input and output, for assistants that start their servers')
		.action(async () => {
			const { serveBridge } = await import('../../mcp/main.ts');
			await serveBridge();
		});
	mcp
		.command('install')
		.description('tell an assistant of this gateway')
		.addArgument(new Argument('<host>', 'which one').choices(HOSTS))
		.option('--name <name>', 'name of the server there', 'limner')
		.option('--http', 'let the host call the gateway itself, without a process between')
		.option('--config <file>', 'the host’s file, when it is not where it usually is')
		.option('--print', 'print what would be added, and change nothing')
		.action(install);
};

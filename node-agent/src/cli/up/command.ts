/**
 * `limner up` (`npm start`): the gateway in workerd and one node with the embedded model, until Ctrl-C.
 * @module
 */
import { join, resolve } from 'node:path';
import { NODE_LIMITS } from '@limner/shared';
import { InvalidArgumentError, type Command } from 'commander';
import { call, GatewayError } from '../../client/index.ts';
import { whole } from '../parse.ts';
import { callerFolder, projectRoot } from './project.ts';
import { startStack, type Stack } from './stack.ts';

export const DEFAULT_PORT = 8787;
const MAX_PORT = 65_535;

/** @throws {InvalidArgumentError} */
export const parsePort = (text: string): number => {
	const port = Number(text);
	if (!Number.isInteger(port) || port < 0 || port > MAX_PORT)
		throw new InvalidArgumentError(`a port is a whole number from 0 to ${MAX_PORT}`);
	return port;
};

/** Link for the first owner; nothing once there is one. */
const ownerLink = async (stack: Stack): Promise<string | undefined> => {
	try {
		const response = await call(stack.gateway.url, stack.state.apiKey, '/api/v1/invitations/owner-link', {
			method: 'POST',
			headers: { 'content-type': 'application/json' },
			body: '{}',
		});
		return ((await response.json()) as { url: string }).url;
	} catch (error) {
		if (error instanceof GatewayError && error.code === 'conflict') return undefined;
		throw error;
	}
};

const welcome = (stack: Stack, link: string | undefined): string => {
	const { url, bundle } = stack.gateway;
	return [
		'',
		`  Studio    ${url}/#key=${stack.state.apiKey}   (this link signs you in)`,
		`  Gateway   ${url}   (API description: ${url}/docs)`,
		`  API key   ${stack.state.apiKey}`,
		...(link === undefined ? [] : [`  Owner     ${link}`, '            (makes the first account; good once, for a day)']),
		`  State     ${stack.state.dir}`,
		`  Bundle    sha256 ${bundle.sha256.slice(0, 16)}…, the bytes that \`npx wrangler deploy\` uploads`,
		'',
		'  Make a picture:',
		`    curl -sS "${url}/api/v1/jobs?wait=45" -H "Authorization: Bearer ${stack.state.apiKey}" \\`,
		`      -H "Content-Type: application/json" -d '{"prompt":"a lighthouse on a cliff at sunset"}'`,
		'',
		'  Ctrl-C stops both.',
		'',
	].join('\n');
};

/** Resolves with the number of signals seen so far; a second Ctrl-C leaves at once. */
const untilSignal = (onSecond: () => void): Promise<void> =>
	new Promise((done) => {
		let seen = 0;
		const handler = (): void => {
			seen++;
			if (seen === 1) done();
			else onSecond();
		};
		process.on('SIGINT', handler);
		process.on('SIGTERM', handler);
	});

interface UpFlags {
	port: number;
	host: string;
	stateDir?: string;
	slots?: number;
}

const say = (text: string): void => console.error(`limner: ${text}`);

const up = async (flags: UpFlags): Promise<void> => {
	const root = projectRoot();
	const stateDir = flags.stateDir === undefined ? join(root, '.limner') : resolve(callerFolder(), flags.stateDir);
	say('starting the gateway and a node …');
	const stack = await startStack({
		root,
		stateDir,
		host: flags.host,
		port: flags.port,
		...(flags.slots === undefined ? {} : { nodeArgs: ['--slots', String(flags.slots)] }),
		say,
	});
	console.log(welcome(stack, await ownerLink(stack)));
	await untilSignal(() => {
		stack.kill();
		process.exit(130);
	});
	say('stopping: the running picture is finished or handed back first (Ctrl-C again leaves at once) …');
	await stack.stop();
	say('stopped; the state is kept.');
	process.exit(0);
};

export const registerUp = (program: Command): void => {
	program
		.command('up')
		.description('run the gateway and one node on this machine')
		.option('--port <port>', 'port of the gateway', parsePort, Number(process.env['PORT'] ?? DEFAULT_PORT))
		.option('--host <address>', 'address to listen on', '127.0.0.1')
		.option('--state-dir <folder>', 'where state is kept (default: .limner in the clone)')
		.option('--slots <n>', 'pictures at a time on this machine (default: one for each device)', whole(1, NODE_LIMITS.slotsMax))
		.action(up);
};

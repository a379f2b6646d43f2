/**
 * Starts the local gateway as a process of its own, and starts it again when it dies.
 * @module
 */
import { fork, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildGateway, type Bundle } from './bundle.ts';
import { UserError } from '../../lib/user-error.ts';
import { endGroup } from './group.ts';
import type { LocalState } from './state.ts';

const HOST_FILE = fileURLToPath(new URL('./gateway-host.ts', import.meta.url));
const START_MS = 60_000;
const STOP_MS = 10_000;
const RESTART_MS = 500;

export interface GatewayHostOptions {
	configFile: string;
	bundleFile: string;
	host: string;
	/** 0 = any free port. */
	port: number;
	bindings: Record<string, string>;
	persistDir: string;
	logFile: string;
}
export type GatewayHostMessage = { type: 'ready'; url: string } | { type: 'error'; message: string };

export interface GatewayOptions {
	root: string;
	state: LocalState;
	host: string;
	port: number;
	/** Values for [vars] of wrangler.toml; the process environment is consulted for the rest. */
	vars?: Record<string, string>;
	onRestart?: (reason: string) => void;
}

export interface RunningGateway {
	url: string;
	bundle: Bundle;
	/** Pid of the host process; workerd is its child. */
	pid: number;
	stop: () => Promise<void>;
}

/** Why the gateway cannot listen, and what to do about it. */
const portSentence = (host: string, port: number, code: string): string => {
	if (code === 'EADDRINUSE')
		return `port ${port} on ${host} is used by another program; stop that program or choose another port with --port.`;
	if (code === 'EACCES') return `port ${port} on ${host} needs more rights; choose another port with --port, like 8787.`;
	return `${host} is not an address of this machine (${code}); choose another one with --host, like 127.0.0.1 or 0.0.0.0.`;
};

/** @throws {UserError} when the gateway could not listen there. */
const checkPort = (host: string, port: number): Promise<void> =>
	new Promise((resolve, reject) => {
		const probe = createServer();
		probe.once('error', (error: NodeJS.ErrnoException) => reject(new UserError(portSentence(host, port, error.code ?? error.message))));
		probe.listen(port, host, () => probe.close(() => resolve()));
	});

/** Settings of wrangler.toml's [vars] that the environment may override. */
const VAR_NAMES = [
	'PUBLIC_URL',
	'REGION',
	'SHARDS',
	'DEFAULT_MODEL',
	'MODEL_ALIASES',
	'SIZE_POLICY',
	'RESULT_TTL',
	'MAX_QUEUE_DEPTH',
	'LOG_LEVEL',
	'WEBHOOK_ALLOW_PRIVATE',
	'SIGNUP',
	'CORS_ORIGINS',
	'DEFAULT_LIMITS',
	'STORAGE',
	'RESULT_UPLOAD',
	'S3_ENDPOINT',
	'S3_BUCKET',
	'S3_REGION',
	'S3_ACCESS_KEY_ID',
	'S3_SECRET_ACCESS_KEY',
	'ALERT_RULES',
	'CONTENT_POLICY',
	'EMAIL_HOOK_URL',
] as const;

const bindingsOf = (options: GatewayOptions): Record<string, string> => {
	const bindings: Record<string, string> = {};
	for (const name of VAR_NAMES) {
		const value = options.vars?.[name] ?? process.env[name];
		if (value !== undefined) bindings[name] = value;
	}
	return {
		...bindings,
		ALLOW_LOOPBACK_ORIGINS: 'true',
		LIMNER_SECRET: options.state.secret,
		BOOTSTRAP_KEY_SHA256: options.state.apiKeySha256,
	};
};

interface Launched {
	child: ChildProcess;
	url: string;
}

const launch = (options: GatewayHostOptions, errorFile: string): Promise<Launched> =>
	new Promise((resolve, reject) => {
		const errors = openSync(errorFile, 'a', 0o600);
		const child = fork(HOST_FILE, {
			detached: true,
			stdio: ['ignore', errors, errors, 'ipc'],
			env: {
				...process.env,
				LIMNER_SECRET: 'set by bindings',
				LIMNER_GATEWAY_HOST: JSON.stringify(options),
				WRANGLER_SEND_METRICS: 'false',
			},
		});
		closeSync(errors);
		const timer = setTimeout(() => {
			endGroup(child.pid);
			reject(new UserError(`the gateway did not start within ${START_MS / 1000} s; see ${errorFile}.`));
		}, START_MS);
		child.once('error', (error) => {
			clearTimeout(timer);
			reject(new UserError(`the gateway's process cannot be started (${error.message}).`, { cause: error }));
		});
		child.once('exit', (code) => {
			clearTimeout(timer);
			// A host that was killed leaves its workerd behind, which would keep the port from the next one.
			endGroup(child.pid);
			reject(new UserError(`the gateway ended with code ${code} while starting; see ${errorFile}.`));
		});
		child.on('message', (message: GatewayHostMessage) => {
			clearTimeout(timer);
			if (message.type === 'ready') resolve({ child, url: message.url });
			else reject(new UserError(`the gateway could not start: ${message.message}`));
		});
	});

const hasExited = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

const stopChild = (child: ChildProcess): Promise<void> =>
	new Promise((resolve) => {
		if (hasExited(child)) return resolve();
		const timer = setTimeout(() => endGroup(child.pid), STOP_MS);
		child.once('exit', () => {
			clearTimeout(timer);
			resolve();
		});
		if (child.connected) child.send('stop');
		else child.kill('SIGTERM');
	});

/**
 * Builds and starts the gateway. A host that dies later is started again on the same port with the same state.
 * @throws {UserError} when the port is taken or the gateway does not come up.
 */
export const startGateway = async (options: GatewayOptions): Promise<RunningGateway> => {
	if (options.port !== 0) await checkPort(options.host, options.port);
	const bundle = await buildGateway(options.root);
	const hostOptions: GatewayHostOptions = {
		configFile: join(options.root, 'wrangler.toml'),
		bundleFile: bundle.file,
		host: options.host,
		port: options.port,
		bindings: bindingsOf(options),
		persistDir: join(options.state.dir, 'gateway'),
		logFile: join(options.state.dir, 'gateway.log'),
	};
	const errorFile = join(options.state.dir, 'gateway-host.log');
	let current = await launch(hostOptions, errorFile);
	const { url } = current;
	hostOptions.port = Number(new URL(url).port);
	const control = { stopping: false };
	const running: RunningGateway = {
		url,
		bundle,
		pid: current.child.pid ?? 0,
		stop: async () => {
			control.stopping = true;
			await stopChild(current.child);
		},
	};
	const relaunch = async (): Promise<void> => {
		while (!control.stopping) {
			await new Promise((resolve) => setTimeout(resolve, RESTART_MS));
			try {
				const next = await launch(hostOptions, errorFile);
				current = next;
				running.pid = next.child.pid ?? 0;
				// stop() may have come while the new host was starting; it stopped the dead one then.
				if (control.stopping) await stopChild(next.child);
				else watch();
				return;
			} catch (error) {
				options.onRestart?.(error instanceof Error ? error.message : String(error));
			}
		}
	};
	const watch = (): void => {
		current.child.once('exit', (code, signal) => {
			if (control.stopping) return;
			options.onRestart?.(`the gateway ended (${signal ?? `code ${code}`}); starting it again`);
			void relaunch();
		});
	};
	watch();
	return running;
};

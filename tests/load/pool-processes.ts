/**
 * The processes of `npm run bench:pool`: workerd with the bench Worker, and the process that plays the nodes.
 * @module
 */
import { fork, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { newNodeId } from '@limner/shared';
import type { GatewayHostMessage, GatewayHostOptions } from '../../node-agent/src/cli/up/gateway.ts';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { childrenOf } from '../lib/gateway.ts';
import type { PoolNodesMessage, PoolNodesOptions } from './pool-nodes.ts';

/** Builds the bench Worker with wrangler, as the gateway itself is built. */
export const build = (outDir: string): string => {
	const wrangler = join(projectRoot(), 'node_modules/.bin/wrangler');
	const config = join(projectRoot(), 'gateway/bench/wrangler.toml');
	const done = spawnSync(wrangler, ['deploy', '--dry-run', '--config', config, '--outdir', outDir], {
		encoding: 'utf8',
		env: { ...process.env, WRANGLER_SEND_METRICS: 'false', NO_COLOR: '1' },
	});
	if (done.status !== 0) throw new Error(`the bench Worker could not be built:\n${done.stdout}${done.stderr}`);
	return join(outDir, 'worker.js');
};

export interface Shard {
	url: string;
	host: ChildProcess;
	/** Pid of workerd. */
	workerd: number;
	stop: () => Promise<void>;
}

export const startShard = async (bundleFile: string, dir: string): Promise<Shard> => {
	const options: GatewayHostOptions = {
		configFile: join(projectRoot(), 'gateway/bench/wrangler.toml'),
		bundleFile,
		host: '127.0.0.1',
		port: 0,
		bindings: {},
		persistDir: join(dir, 'state'),
		logFile: join(dir, 'workerd.log'),
	};
	const host = fork(join(projectRoot(), 'node-agent/src/cli/up/gateway-host.ts'), {
		env: { ...process.env, LIMNER_GATEWAY_HOST: JSON.stringify(options), WRANGLER_SEND_METRICS: 'false' },
	});
	const url = await new Promise<string>((resolve, reject) => {
		host.once('message', (message: GatewayHostMessage) =>
			message.type === 'ready' ? resolve(message.url) : reject(new Error(message.message)),
		);
		host.once('exit', (code) => reject(new Error(`the host of the shard ended with code ${code}`)));
	});
	const stop = async (): Promise<void> => {
		const gone = new Promise((resolve) => host.once('exit', resolve));
		host.send('stop');
		await gone;
	};
	return { url, host, workerd: childrenOf(host.pid ?? 0)[0] ?? 0, stop };
};

export interface Fleet {
	child: ChildProcess;
	done: () => number;
	/** When each task arrived at its node, since the last call. */
	arrivals: () => Promise<Map<string, number>>;
	stop: () => Promise<void>;
}

export const startFleet = async (url: string, nodes: number): Promise<Fleet> => {
	const ids = Array.from({ length: nodes }, () => newNodeId(Date.now(), randomBytes(10)));
	const options: PoolNodesOptions = { url, ids, slots: 1 };
	const child = fork(fileURLToPath(new URL('./pool-nodes.ts', import.meta.url)), {
		env: { ...process.env, BENCH_POOL_NODES: JSON.stringify(options) },
	});
	let count = 0;
	let arrived: ((at: Map<string, number>) => void) | undefined;
	await new Promise<void>((resolve, reject) => {
		child.on('message', (message: PoolNodesMessage) => {
			if (message.t === 'online') resolve();
			else if (message.t === 'done') count += message.count;
			else arrived?.(new Map(message.at));
		});
		child.once('exit', (code) => reject(new Error(`the nodes ended with code ${code}`)));
	});
	return {
		child,
		done: () => count,
		arrivals: () =>
			new Promise((resolve) => {
				arrived = resolve;
				child.send('arrivals');
			}),
		stop: async () => {
			const gone = new Promise((resolve) => child.once('exit', resolve));
			child.disconnect();
			await gone;
		},
	};
};

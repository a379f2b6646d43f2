/**
 * Gateway and node together: what `limner up` and `limner demo` start and stop.
 * @module
 */
import { join } from 'node:path';
import { rotateInPlace } from '../../lib/rotate.ts';
import { startGateway, type RunningGateway } from './gateway.ts';
import { lockState } from './lock.ts';
import { startNode, waitForNode, type RunningNode } from './node.ts';
import { openState, type LocalState } from './state.ts';

export interface StackOptions {
	root: string;
	stateDir: string;
	host: string;
	port: number;
	nodeArgs?: string[];
	vars?: Record<string, string>;
	/** One short sentence for each thing that happens. */
	say: (text: string) => void;
}

export interface Stack {
	state: LocalState;
	gateway: RunningGateway;
	node: RunningNode;
	/** Stops the node first, so that its task is finished or handed back, then the gateway. */
	stop: () => Promise<void>;
	kill: () => void;
}

const LOGS = ['gateway.log', 'gateway-host.log', 'node-output.log'];
const LOG_CHECK_MS = 60_000;

/** Keeps what the gateway and the node print from filling the disk. */
const boundLogs = (dir: string): void => {
	const check = (): void => {
		for (const name of LOGS) rotateInPlace(join(dir, name));
	};
	check();
	setInterval(check, LOG_CHECK_MS).unref();
};

/** Starts the gateway, then the node, and waits until the node is online. Whatever was started is stopped on failure. */
export const startStack = async (options: StackOptions): Promise<Stack> => {
	const state = openState(options.stateDir);
	const unlock = lockState(state.dir);
	boundLogs(state.dir);
	const { root, host, port, vars, say } = options;
	const gateway = await startGateway({ root, state, host, port, ...(vars === undefined ? {} : { vars }), onRestart: say }).catch(
		(error: unknown) => {
			unlock();
			throw error;
		},
	);
	let node: RunningNode | undefined;
	try {
		node = await startNode({
			gatewayUrl: gateway.url,
			state,
			...(options.nodeArgs === undefined ? {} : { args: options.nodeArgs }),
			onRestart: options.say,
		});
		await waitForNode(gateway.url, state, node);
		const started = node;
		return {
			state,
			gateway,
			node: started,
			stop: async () => {
				await started.stop();
				await gateway.stop();
				unlock();
			},
			kill: () => {
				started.kill();
				void gateway.stop();
			},
		};
	} catch (error) {
		node?.kill();
		await gateway.stop();
		unlock();
		throw error;
	}
};

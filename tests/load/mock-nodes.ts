/**
 * Process that holds the mock nodes of a benchmark: real sockets, real uploads. Told what to do by the environment,
 * says `online` when every node is connected, and keeps its engine log in a file.
 * @module
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startMockNode } from '../../node-agent/src/node/mock.ts';
import { until } from '../lib/until.ts';

export interface MockNodesOptions {
	gateway: string;
	token: string;
	dir: string;
	count: number;
	stepMs: number;
}

const options = JSON.parse(process.env['MOCK_NODES'] ?? '{}') as MockNodesOptions;
mkdirSync(options.dir, { recursive: true });
const agents = await Promise.all(
	Array.from({ length: options.count }, (_, index) =>
		startMockNode({
			gateway: options.gateway,
			token: options.token,
			stateDir: join(options.dir, `node-${index}`),
			name: `mock-${index}`,
			stepMs: options.stepMs,
			engineLog: join(options.dir, 'engine.log'),
		}),
	),
);
await until('all mock nodes are online', () => (agents.every((agent) => agent.online) ? true : undefined), 60_000);
process.send?.('online');
process.on('message', () => {
	void Promise.all(agents.map((agent) => agent.stop())).finally(() => process.exit(0));
});
process.on('disconnect', () => process.exit(0));

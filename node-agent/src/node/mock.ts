/**
 * A mock node inside the calling process: real socket, real outbox, real uploads, no engine processes. Fifty of them fit
 * a benchmark on two cores.
 * @module
 */
import { mkdirSync } from 'node:fs';
import { silentLog } from '../lib/log.ts';
import { DEFAULT_MODEL } from '../models/embedded.ts';
import { mockModel } from '../models/store.ts';
import { inProcessWorkers } from '../slots/workers.ts';
import { NodeAgent } from './agent.ts';
import type { AgentOptions } from './options.ts';

export interface MockNodeOptions {
	gateway: string;
	/** Join token; not needed when the state folder holds an identity. */
	token?: string;
	/** A folder of its own for each node. */
	stateDir: string;
	name: string;
	slots?: number;
	/** Milliseconds a denoising step; default 0. */
	stepMs?: number;
	/** Milliseconds to load the model; default 0. */
	loadMs?: number;
	/** Pictures that a slot makes at a time; default 1. */
	maxBatch?: number;
	/** Name of the model it pretends to have; default the embedded one that requests mean. */
	model?: string;
	/** JSON lines of what the engine did; none when absent. */
	engineLog?: string;
	/** Bytes that finished pictures may take. */
	maxDiskBytes?: number;
	hours?: AgentOptions['hours'];
	lookForModels?: AgentOptions['lookForModels'];
	lookEveryMs?: number;
	fetchModel?: AgentOptions['fetchModel'];
	onModelUsed?: AgentOptions['onModelUsed'];
	onHalt?: (sentence: string) => void;
}

/** Name of the model that mock engines offer unless told otherwise: the one that requests mean when they name none. */
export const MOCK_MODEL = DEFAULT_MODEL;

/** Starts a mock node; it is connected when `agent.online` is true. */
export const startMockNode = async (options: MockNodeOptions): Promise<NodeAgent> => {
	mkdirSync(options.stateDir, { recursive: true, mode: 0o700 });
	return NodeAgent.start({
		gateway: options.gateway,
		stateDir: options.stateDir,
		name: options.name,
		token: options.token,
		slots: options.slots ?? 1,
		devices: [{ kind: 'mock', name: 'mock' }],
		engineName: 'mock',
		startWorker: inProcessWorkers({
			engine: { kind: 'mock', options: { stepMs: options.stepMs ?? 0, loadMs: options.loadMs ?? 0, maxBatch: options.maxBatch ?? 1 } },
			...(options.engineLog === undefined ? {} : { engineLog: options.engineLog }),
		}),
		maxBatch: options.maxBatch,
		models: [mockModel(options.model ?? MOCK_MODEL)],
		maxDiskBytes: options.maxDiskBytes,
		log: silentLog(),
		hours: options.hours,
		lookForModels: options.lookForModels,
		fetchModel: options.fetchModel,
		onModelUsed: options.onModelUsed,
		...(options.lookEveryMs === undefined ? {} : { lookEveryMs: options.lookEveryMs }),
		...(options.onHalt === undefined ? {} : { onHalt: options.onHalt }),
	});
};

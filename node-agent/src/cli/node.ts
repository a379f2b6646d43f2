/**
 * `limner node`: serves a gateway with this machine until it is told to stop.
 * @module
 */
import { existsSync, mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { NODE_LIMITS } from '@limner/shared';
import type { Command } from 'commander';
import { settings } from '../config/settings.ts';
import { rotateKey } from '../identity/enrol.ts';
import { loadIdentity } from '../identity/store.ts';
import { fileLog, type Logger } from '../lib/log.ts';
import { defaultStateDir, userPath } from '../lib/paths.ts';
import { takeLock, type LockResult } from '../lib/process-lock.ts';
import { errorCode, EXIT, messageOf, UserError } from '../lib/user-error.ts';
import { fetchStore, ModelFetcher, pictureShare } from '../models/fetcher.ts';
import { defaultModelDirs, type StoredModel } from '../models/store.ts';
import { NodeAgent } from '../node/agent.ts';
import type { AgentOptions } from '../node/options.ts';
import { parseSchedule } from '../node/hours.ts';
import { MOCK_MODEL } from '../node/mock.ts';
import { forkWorkers, inProcessWorkers } from '../slots/workers.ts';
import { mockSetup, onnxSetup, type EngineSetup, type NodeFlags } from './node-setup.ts';
import { byteSize, collect, deviceList, gatewayAddress, oneOf, whole } from './parse.ts';
import { StatusLine } from './status-line.ts';
import { endWithParent } from './up/supervised.ts';

const MOCK_MAX_MS = 600_000;

const makeStateDir = (path: string | undefined): string => {
	const dir = path === undefined ? defaultStateDir() : userPath(path);
	try {
		mkdirSync(dir, { recursive: true, mode: 0o700 });
	} catch (error) {
		throw new UserError(
			`The state folder ${dir} cannot be made (${errorCode(error) ?? messageOf(error)}); choose another with --state-dir.`,
			{ cause: error },
		);
	}
	return dir;
};

/** Where pulled models go: the first folder that holds models and is none itself. What ships with Limner is its source. */
const pullStores = (flags: NodeFlags, stateDir: string): string[] => {
	const dirs = flags.models?.map(userPath) ?? settings().models?.map(userPath) ?? defaultModelDirs(stateDir).slice(1);
	const stores = dirs.filter((dir) => !existsSync(join(dir, 'model_index.json')));
	return stores.length > 0 ? stores : [join(stateDir, 'models')];
};

/** Trust is part of the certificate; the flag says what its owner expects of it. */
const checkTrust = (certificate: string, wanted: 'own' | 'shared' | undefined): void => {
	if (wanted === undefined) return;
	const claims = JSON.parse(Buffer.from(certificate.split('.')[0] ?? '', 'base64url').toString()) as { trust?: string };
	if (claims.trust === undefined || claims.trust === wanted) return;
	throw new UserError(
		`This node's certificate is for "${claims.trust}", not "${wanted}"; make a join token with "trust": "${wanted}" and enrol with it and a --state-dir of its own.`,
	);
};

const unwritable = (file: string, error: unknown): UserError =>
	new UserError(
		`${file} cannot be written (${errorCode(error) ?? messageOf(error)}); mend or remove it, free some disk, or choose another --state-dir.`,
		{ cause: error },
	);

const openLog = (stateDir: string): Logger => {
	const file = join(stateDir, 'node.log');
	try {
		return fileLog(file, settings().logLevel);
	} catch (error) {
		throw unwritable(file, error);
	}
};

/**
 * Claims the state folder: two nodes in one would be one identity that throws itself out again and again.
 * @throws {UserError} when another node has it, or the lock cannot be written
 */
const lockStateDir = (stateDir: string): (() => void) => {
	const file = join(stateDir, 'node.pid');
	let lock: LockResult;
	try {
		lock = takeLock(file);
	} catch (error) {
		throw unwritable(file, error);
	}
	if (lock.ok) return lock.release;
	throw new UserError(
		`Another limner node (process ${lock.pid}) uses ${stateDir}; stop it first, or give this one a folder of its own with --state-dir.`,
	);
};

/** First signal: finish or hand back. Second: leave at once. */
const onSignals = (agent: () => NodeAgent | undefined, line: StatusLine, leave: (code: number) => void): void => {
	let seen = 0;
	const handle = (): void => {
		seen++;
		const running = agent();
		if (running === undefined) return leave(EXIT.interrupted);
		if (seen === 1) {
			line.note('limner: stopping: what is nearly done is finished, the rest is handed back (again: leave at once) …');
			void running.stop().then(() => leave(EXIT.ok));
			return undefined;
		}
		void running.abort().then(() => leave(EXIT.interrupted));
		setTimeout(() => leave(EXIT.interrupted), 1500).unref();
		return undefined;
	};
	process.on('SIGINT', handle);
	process.on('SIGTERM', handle);
};

interface NodeShell {
	stateDir: string;
	log: Logger;
	line: StatusLine;
	onHalt: (sentence: string) => void;
}

const hoursOf = (flags: NodeFlags): AgentOptions['hours'] => {
	const text = flags.schedule ?? settings().schedule;
	return text === undefined ? undefined : { schedule: parseSchedule(text) };
};

/** What a node does about models while it runs: it sees those that come and go, and fetches those that the pool asks for. */
const modelParts = (
	flags: NodeFlags,
	{ shelf }: EngineSetup,
	stateDir: string,
	log: Logger,
	agent: () => NodeAgent | undefined,
): Pick<AgentOptions, 'lookForModels' | 'fetchModel' | 'onModelUsed' | 'maxDiskBytes'> => {
	const maxBytes = flags.maxDisk ?? settings().maxDisk;
	if (shelf === undefined) return { maxDiskBytes: maxBytes };
	const lookForModels = async (): Promise<StoredModel[] | undefined> => (await shelf.look())?.models;
	if (flags.autoPull === false || !settings().autoPull) return { lookForModels, maxDiskBytes: maxBytes };
	const forPictures = pictureShare(maxBytes);
	const fetcher = new ModelFetcher({
		store: fetchStore(stateDir),
		maxBytes,
		waitingBytes: () => Math.max(forPictures ?? 0, agent()?.waitingBytes ?? 0),
		loaded: () => agent()?.loadedModels ?? new Set(),
		onNote: (sentence) => log.info({ note: sentence }, 'models'),
	});
	return {
		lookForModels,
		maxDiskBytes: forPictures,
		onModelUsed: (name) => fetcher.used(name),
		fetchModel: async (source, name) => {
			await fetcher.fetch(source, name);
			return (await shelf.refresh()).models;
		},
	};
};

const startAgent = async (flags: NodeFlags, { stateDir, log, line, onHalt }: NodeShell): Promise<NodeAgent> => {
	const setup = flags.engine === 'mock' ? mockSetup(flags) : await onnxSetup(flags, stateDir);
	for (const note of setup.notes) {
		line.note(`limner: ${note}`);
		log.warn({ note }, 'at the start');
	}
	const workers = flags.inProcess === true && flags.engine === 'mock' ? inProcessWorkers : forkWorkers;
	const running: { agent?: NodeAgent } = {};
	const agent = await NodeAgent.start({
		gateway: flags.gateway ?? settings().url,
		stateDir,
		name: (flags.name?.trim() || settings().name || hostname() || 'node').slice(0, NODE_LIMITS.nameChars),
		token: flags.token || settings().token,
		slots: setup.slots,
		devices: setup.devices,
		engineName: flags.engine,
		maxBatch: setup.maxBatch,
		startWorker: workers({
			...setup.workers,
			engineLog: join(stateDir, 'engine.log'),
			onOutput: (slotId, text) => log.info({ slotId, text: text.trimEnd() }, 'engine output'),
		}),
		models: setup.models,
		stores: pullStores(flags, stateDir),
		mayPull: flags.pull !== false,
		...modelParts(flags, setup, stateDir, log, () => running.agent),
		hours: hoursOf(flags),
		log,
		onStatus: (status) => line.update(status),
		onHalt,
	});
	running.agent = agent;
	try {
		checkTrust(agent.certificate, flags.trust);
	} catch (error) {
		await agent.abort();
		throw error;
	}
	return agent;
};

const node = async (flags: NodeFlags): Promise<void> => {
	endWithParent();
	const stateDir = makeStateDir(flags.stateDir ?? settings().stateDir);
	const unlock = lockStateDir(stateDir);
	const log = openLog(stateDir);
	const line = new StatusLine();
	let agent: NodeAgent | undefined;
	const leave = (code: number): void => {
		line.end();
		unlock();
		process.exit(code);
	};
	onSignals(() => agent, line, leave);
	const onHalt = (sentence: string): void => {
		line.note(`limner: ${sentence}`);
		void agent?.abort().then(() => leave(EXIT.failed));
	};
	try {
		agent = await startAgent(flags, { stateDir, log, line, onHalt });
	} catch (error) {
		log.error({ why: messageOf(error) }, 'not started');
		line.end();
		unlock();
		throw error;
	}
};

/** The node must not run: it would go on with the key that it has in memory, and be shut out when it connects again. */
const rotate = async (flags: Pick<NodeFlags, 'gateway' | 'stateDir'>): Promise<void> => {
	const stateDir = makeStateDir(flags.stateDir ?? settings().stateDir);
	const unlock = lockStateDir(stateDir);
	try {
		const known = await loadIdentity(stateDir);
		const gateway = flags.gateway ?? known.gateway ?? settings().url;
		const identity = await rotateKey({ gateway, stateDir, now: Date.now() });
		console.log(`${identity.nodeId} has a new key; the old one ends when the node connects with the new one.`);
	} finally {
		unlock();
	}
};

export const registerNode = (program: Command): void => {
	const command = program
		.command('node')
		.description('serve a gateway with this machine')
		.option('--gateway <url>', 'the gateway to serve (default: LIMNER_URL)', gatewayAddress)
		.option('--token <token>', 'join token; needed the first time')
		.option('--name <name>', "how the node is shown (default: the machine's name)")
		.option('--state-dir <folder>', 'identity, outbox and caches; one folder for each node')
		.option('--slots <n>', 'pictures at a time (default: one for each device)', whole(1, NODE_LIMITS.slotsMax))
		.option('--max-batch <n>', 'pictures that a slot makes together at most (default: 4)', whole(1, NODE_LIMITS.batchMax))
		.option(
			'--device <kind>',
			'what to compute on: auto, or one or more of cuda, tensorrt, coreml, webgpu, dml, cpu, like cuda,cpu',
			deviceList,
		)
		.option('--max-vram <size>', 'how much memory of the device models and pictures may take, like 8GB', byteSize)
		.option('--cache-limit <size>', 'how much memory loaded models may take in a slot, like 12GB', byteSize)
		.option('--trust <whose>', 'refuse to start unless the join token is for this: own or shared', oneOf('own', 'shared'))
		.option('--max-disk <size>', 'how much disk waiting pictures and fetched models may take, like 20GB', byteSize)
		.option('--no-auto-pull', 'do not fetch models that the pool asks for')
		.option('--schedule <hours>', 'when to work, like "22:00-07:00" or "Mon-Fri 18:00-08:00, Sat-Sun 00:00-24:00"')
		.option('--no-pull', 'do not let the workspace bring models to this machine or take them away')
		.option('--models <folder>', 'a model, or a folder of models; may be repeated', collect)
		.option('--engine <name>', 'onnx, or mock: noise instead of pictures, for tests', oneOf('onnx', 'mock'), 'onnx')
		.option('--mock-step-ms <ms>', 'mock: time of a step', whole(0, MOCK_MAX_MS), Number(process.env['LIMNER_MOCK_STEP_MS'] ?? 20))
		.option('--mock-load-ms <ms>', 'mock: time to load the model', whole(0, MOCK_MAX_MS), Number(process.env['LIMNER_MOCK_LOAD_MS'] ?? 0))
		.option('--mock-model <name>', 'mock: name of the model it pretends to have', MOCK_MODEL)
		.option('--in-process', 'mock: no process for each slot')
		.action(node);
	command
		.command('rotate-key')
		.description('give the node in --state-dir a new key pair; the node must not be running')
		.action((_flags: object, self: Command) => rotate(self.optsWithGlobals()));
};

/**
 * What `limner node` needs that depends on its engine: devices, slots, models.
 * @module
 */
import { NODE_LIMITS, type Device } from '@limner/shared';
import { settings } from '../config/settings.ts';
import type { EngineConfig } from '../engines/create.ts';
import { coreCount, threadsPerSlot, type DevicePlan } from '../engines/devices.ts';
import type { OnnxOptions } from '../engines/onnx/engine.ts';
import { fallbackWarning, limitMemory, planDevice } from '../engines/plan.ts';
import { userPath } from '../lib/paths.ts';
import { UserError } from '../lib/user-error.ts';
import { ModelShelf } from '../models/shelf.ts';
import { defaultModelDirs, hashCacheFile, mockModel, type StoredModel } from '../models/store.ts';
import { deviceOf } from '../node/describe.ts';
import type { AgentOptions } from '../node/options.ts';
import type { WorkerConfig } from '../slots/workers.ts';

export interface NodeFlags {
	gateway?: string;
	token?: string;
	name?: string;
	stateDir?: string;
	slots?: number;
	maxBatch?: number;
	device?: string;
	trust?: 'own' | 'shared';
	maxDisk?: number;
	schedule?: string;
	maxVram?: number;
	autoPull?: boolean;
	pull?: boolean;
	cacheLimit?: number;
	models?: string[];
	engine: 'onnx' | 'mock';
	mockStepMs: number;
	mockLoadMs: number;
	mockModel: string;
	inProcess?: boolean;
}

/** What a node needs that depends on its engine. */
export interface EngineSetup {
	workers: WorkerConfig;
	devices: AgentOptions['devices'];
	slots: number;
	models: StoredModel[];
	/** Pictures that a slot takes at a time. */
	maxBatch: number;
	/** Sentences about devices that do not work and models that are left out. */
	notes: string[];
	/** Where models come from while the node runs; none for the mock engine. */
	shelf?: ModelShelf;
}

export const mockSetup = (flags: NodeFlags): EngineSetup => ({
	workers: {
		engine: { kind: 'mock', options: { stepMs: flags.mockStepMs, loadMs: flags.mockLoadMs, maxBatch: flags.maxBatch ?? 1 } },
	},
	devices: [{ kind: 'mock', name: 'mock' }],
	maxBatch: flags.maxBatch ?? 1,
	slots: flags.slots ?? NODE_LIMITS.slotsDefault,
	models: [mockModel(flags.mockModel)],
	notes: [],
});

const openShelf = async (flags: NodeFlags, stateDir: string): Promise<{ shelf: ModelShelf; models: StoredModel[]; notes: string[] }> => {
	const dirs = flags.models?.map(userPath) ?? settings().models?.map(userPath) ?? defaultModelDirs(stateDir);
	const shelf = new ModelShelf({ dirs, cacheFile: hashCacheFile(stateDir) });
	const { models, broken } = await shelf.open();
	if (models.length > 0) return { shelf, models, notes: broken.map((model) => model.sentence) };
	const why =
		broken.length === 0 ? `There is no model in ${dirs.join(' or ')}` : broken.map((model) => model.sentence.replace(/\.$/, '')).join('; ');
	throw new UserError(
		`${why}; give a folder of models with --models, or restore the one that ships with Limner with \`git checkout models/\`.`,
	);
};

/** Engine and variables of each slot: GPUs are shared out in turn. */
const onnxWorkers = (plan: DevicePlan, slots: number, limits: Pick<OnnxOptions, 'maxBatch' | 'modelBytes'>): WorkerConfig => {
	const intraOpNumThreads = threadsPerSlot(plan.device.kind, coreCount(), slots);
	const engineOn = (device: Device): EngineConfig => ({
		kind: 'onnx',
		options: { device, executionProviders: plan.executionProviders, intraOpNumThreads, ...limits },
	});
	const warning = fallbackWarning(plan);
	return {
		engine: engineOn(plan.device),
		engineOf: (slotId) => engineOn(deviceOf(plan.devices, slotId)),
		env: (slotId) => ({ ...plan.env, ...plan.deviceEnv[Number(slotId) % Math.max(1, plan.deviceEnv.length)] }),
		...(warning === undefined ? {} : { warnings: [warning] }),
	};
};

export const onnxSetup = async (flags: NodeFlags, stateDir: string): Promise<EngineSetup> => {
	const { shelf, models, notes } = await openShelf(flags, stateDir);
	const plan = limitMemory(await planDevice(flags.device ?? settings().device), flags.maxVram ?? settings().maxVram);
	const slots = flags.slots ?? Math.min(NODE_LIMITS.slotsMax, plan.defaultSlots);
	const { maxBatch = NODE_LIMITS.batchDefault } = flags;
	const modelBytes = flags.cacheLimit ?? settings().cacheLimit;
	const warning = fallbackWarning(plan);
	return {
		workers: onnxWorkers(plan, slots, { maxBatch, ...(modelBytes === undefined ? {} : { modelBytes }) }),
		maxBatch,
		devices: plan.devices,
		slots,
		models,
		notes: [...(warning === undefined ? [] : [warning.replace(/^Made/, 'Pictures are made')]), ...notes],
		shelf,
	};
};

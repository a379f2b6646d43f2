/**
 * Well-formed specs, models and hellos for the simulator and for unit tests.
 * @module
 */
import type { JobSpec, ModelInfo, SlotInfo } from '@limner/shared';
import type { HelloFrame, NodeIdentity } from '../model.ts';

/** A small picture, due in an hour. */
export const specOf = (now: number, change: Partial<JobSpec> = {}): JobSpec => ({
	task: 'txt2img',
	model: 'storybook',
	prompt: 'a red castle',
	negativePrompt: null,
	width: 128,
	height: 128,
	steps: 4,
	guidance: 2,
	scheduler: 'ddim',
	seed: 1,
	n: 1,
	pasteBack: true,
	class: 'interactive',
	priority: 5,
	deadlineAt: now + 3_600_000,
	...change,
});

export const modelOf = (name: string): ModelInfo => ({
	name,
	sha256: '0'.repeat(64),
	family: 'sd',
	bytes: 1,
	operations: ['txt2img'],
	nativeWidth: 128,
	nativeHeight: 128,
	sizeMultiple: 8,
	defaults: { steps: 4, guidance: 2, scheduler: 'ddim' },
});

/** A model that says where it came from, so that other nodes can fetch it. */
export const sourcedModel = (name: string): ModelInfo => ({ ...modelOf(name), source: `sim/${name}` });

export const slotsOf = (count: number, maxBatch = 1): SlotInfo[] =>
	Array.from({ length: count }, (_, i) => ({ id: `s${i}`, device: { kind: 'mock', name: 'mock' }, engine: 'mock', maxBatch }));

/** What a node says first; the signature is checked by the shell, not by the core. */
export const helloOf = (identity: NodeIdentity, connId: string, change: Partial<HelloFrame> = {}): HelloFrame => ({
	t: 'hello',
	v: 1,
	nodeId: identity.nodeId,
	connId,
	bootId: 'boot1',
	sig: '',
	name: identity.name,
	agentVersion: '0.1.0',
	platform: 'sim',
	slots: slotsOf(1),
	models: [modelOf('storybook')],
	running: [],
	finished: [],
	...change,
});

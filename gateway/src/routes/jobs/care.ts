/**
 * Specs of jobs that look after the pool: what a benchmark, a pull, a probe, a move or a canary picture is made of. Pure.
 * @module
 */
import {
	CANARY,
	REQUEST_LIMITS,
	resolveScheduler,
	TASK_LIMITS,
	type AnyJobRequest,
	type CareRequest,
	type JobSpec,
	type TaskParams,
} from '@limner/shared';
import type { KnownModel } from '../../lib/catalog.ts';

export const isCare = (request: AnyJobRequest): request is CareRequest => request.taskType !== undefined && request.taskType !== 'GENERAL';

/** Whether the task makes pixels, so that defaults of its model are needed. */
export const needsModel = (request: CareRequest): request is Extract<CareRequest, { taskType: 'RESEARCH' | 'HEARTBEAT' }> =>
	request.taskType === 'RESEARCH' || request.taskType === 'HEARTBEAT';

const NO_PICTURE = { width: 0, height: 0, steps: 0, guidance: 0, scheduler: '' } as const;

const ofModel = (model: KnownModel, steps: number) => ({
	width: model.nativeWidth,
	height: model.nativeHeight,
	steps,
	guidance: model.defaults.guidance,
	scheduler: resolveScheduler(model.defaults.scheduler) ?? model.defaults.scheduler,
});

interface Work {
	model: string;
	n: number;
	prompt: string;
	nodeId?: string | undefined;
	params: TaskParams;
	picture: Pick<JobSpec, 'width' | 'height' | 'steps' | 'guidance' | 'scheduler'>;
}

/** `owner/name@revision` is called `name` unless somebody says otherwise. */
const nameOf = (source: string): string => source.split('@')[0]?.split('/').at(-1) ?? source;

const picturesOf = (request: Extract<CareRequest, { taskType: 'RESEARCH' | 'HEARTBEAT' }>, model: KnownModel | undefined): Work => {
	const steps = request.taskType === 'HEARTBEAT' ? CANARY.steps : (request.steps ?? model?.defaults.steps ?? CANARY.steps);
	const picture = model === undefined ? NO_PICTURE : ofModel(model, steps);
	const base = { model: model?.name ?? '', n: 1, prompt: CANARY.prompt, nodeId: request.nodeId };
	if (request.taskType === 'HEARTBEAT') return { ...base, params: {}, picture };
	const { width = picture.width, height = picture.height, repeat = TASK_LIMITS.repeatDefault } = request;
	return { ...base, params: { repeat }, picture: { ...picture, width, height } };
};

const workOf = (request: CareRequest, model: KnownModel | undefined): Work => {
	if (needsModel(request)) return picturesOf(request, model);
	const base = { n: 1, prompt: '', picture: NO_PICTURE };
	if (request.taskType === 'DISCOVERY')
		return { ...base, model: '', nodeId: request.nodeId, params: { modelSource: request.modelSource ?? true } };
	if (request.taskType === 'INGEST') {
		const { source, nodeId, name = nameOf(source) } = request;
		return { ...base, model: name, nodeId, params: { source, name } };
	}
	const { model: name, from, to, keep = false } = request;
	// The second task takes the model away where it was.
	return { ...base, model: name, n: keep ? 1 : 2, nodeId: to, params: { from, keep, name } };
};

/** @param model of a task that makes pixels */
export const careSpec = (request: CareRequest, model: KnownModel | undefined, nowMs: number): JobSpec => {
	const { model: name, n, prompt, nodeId, params, picture } = workOf(request, model);
	const { labels, dependsOn, onDependencyFailure } = request;
	return {
		taskType: request.taskType,
		task: 'txt2img',
		model: name,
		prompt,
		negativePrompt: null,
		...picture,
		seed: CANARY.seed,
		n,
		pasteBack: false,
		class: request.class ?? 'interactive',
		priority: request.priority ?? REQUEST_LIMITS.priorityDefault,
		deadlineAt: nowMs + (request.deadlineMs ?? REQUEST_LIMITS.deadlineDefaultMs),
		params,
		...(nodeId === undefined ? {} : { nodeId }),
		...(labels === undefined ? {} : { labels }),
		...(dependsOn === undefined ? {} : { dependsOn }),
		...(onDependencyFailure === undefined ? {} : { onDependencyFailure }),
	};
};

/**
 * From what the gateway grants to what an engine gets, and from what an engine answers to what the gateway is told. Pure.
 * @module
 */
import { BODY_LIMITS, type GrantRef, type JobSpec, type Task } from '@limner/shared';
import type { EngineRequest } from '../engines/types.ts';
import type { OutputOptions } from '../png/encode.ts';
import type { ResultMeta } from '../slots/messages.ts';

/** Key of an attempt: a job's picture at an epoch. */
export const attemptKey = (ref: GrantRef): string => `${ref.jobId}/${ref.index}/${ref.epoch}`;

/** A grant's identity alone, out of a frame that holds more. */
export const grantOf = ({ jobId, index, epoch }: GrantRef): GrantRef => ({ jobId, index, epoch });

/** The pictures of a grant, each as if it had been granted alone. */
export const tasksOf = ({ batch = [], ...first }: Task): Task[] => {
	const { traceId: _trace, watched: _watched, ...common } = first;
	return [first, ...batch.map((more): Task => ({ ...common, ...more, spec: more.spec ?? first.spec }))];
};

/** Fields that go on as they are, where the job has them. */
const OPTIONAL = [
	'eta',
	'guidanceRescale',
	'maskCropPadding',
	'maskFeather',
	'maskInvert',
	'maskFill',
	'promptMode',
	'originalSize',
	'cropTopLeft',
	'targetSize',
	'useT5',
] as const satisfies readonly (keyof EngineRequest)[];

/** What the engine gets for one picture of a job. */
export const toEngineRequest = (spec: JobSpec, seed: number): EngineRequest => {
	const request: EngineRequest = {
		task: spec.task,
		prompt: spec.prompt,
		negativePrompt: spec.negativePrompt,
		width: spec.width,
		height: spec.height,
		steps: spec.steps,
		guidance: spec.guidance,
		scheduler: spec.scheduler,
		seed,
		...(spec.task === 'txt2img' || spec.strength === undefined ? {} : { strength: spec.strength }),
		pasteBack: spec.pasteBack,
	};
	for (const key of OPTIONAL) if (spec[key] !== undefined) Object.assign(request, { [key]: spec[key] });
	return request;
};

/** The file format of a result, when the job asks for another than PNG. */
export const outputOf = ({ outputFormat, outputQuality }: JobSpec): { output?: OutputOptions } =>
	outputFormat === undefined || outputFormat === 'png'
		? {}
		: { output: { format: outputFormat, ...(outputQuality === undefined ? {} : { quality: outputQuality }) } };

/** Bytes of JSON such that their base64url form still fits the header's limit. */
const META_JSON_BYTES = Math.floor((BODY_LIMITS.resultMetaBytes * 3) / 4);

/** The X-Limner-Meta header. Warnings are shortened, then left out, until it fits. */
export const encodeMeta = (meta: ResultMeta): string => {
	const warnings = meta.warnings.map((warning) => warning.slice(0, 300));
	for (;;) {
		const json = Buffer.from(JSON.stringify({ ...meta, warnings }));
		if (json.length <= META_JSON_BYTES || warnings.length === 0) return json.toString('base64url');
		warnings.pop();
	}
};

/** Grants of the gateway's that an older or equal attempt of ours stands in the way of. */
export const isSuperseded = (ours: GrantRef, theirs: Pick<Task, 'jobId' | 'index' | 'epoch'>): boolean =>
	ours.jobId === theirs.jobId && ours.index === theirs.index && ours.epoch < theirs.epoch;

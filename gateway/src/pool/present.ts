/**
 * The `task` frame: what the core decided, plus the signed texts that it has no secret for.
 * @module
 */
import { TIMING, assetKey, makesReport, taskSeed, type BatchTask, type GatewayFrame, type JobSpec } from '@limner/shared';
import { z } from 'zod';
import { signClaims } from '../lib/sign.ts';
import { typeOf, type BatchMate, type Job, type Send } from './model.ts';

/** R2 keys of the input pictures, resolved when the job was submitted. */
const InputKeys = z.looseObject({ init: z.string().optional(), mask: z.string().optional() });

type TaskFrame = Extract<GatewayFrame, { t: 'task' }>;

/** Storage keys are none of a node's business: it gets signed URLs. */
const publicSpec = (spec: JobSpec): JobSpec => {
	const { inputKeys: _, ...rest } = spec;
	return rest;
};

const inputsOf = (secret: string, job: Job, now: number): TaskFrame['inputs'] => {
	const keys = InputKeys.safeParse(job.spec['inputKeys'] ?? {});
	const resolved = keys.success ? keys.data : {};
	const inputs: TaskFrame['inputs'] = [];
	for (const [role, image] of [['init', job.spec.initImage] as const, ['mask', job.spec.maskImage] as const]) {
		const key = job.inputs[role] ?? resolved[role] ?? (image !== undefined && 'asset' in image ? assetKey(job.ws, image.asset) : undefined);
		if (key === undefined) continue;
		const ticket = signClaims(secret, { k: 'object', ws: job.ws, key, ct: 'application/octet-stream', exp: now + TIMING.ticketTtlMs });
		inputs.push({ role, url: `/api/v1/objects/${ticket}` });
	}
	return inputs;
};

/** Content types that a result may have: what was ordered, or PNG from a node that knows no other. */
const resultTypes = ({ outputFormat = 'png' }: JobSpec): string =>
	outputFormat === 'png' ? 'image/png' : `image/${outputFormat},image/png`;

const REPORT = 'application/json';

const ticketFor = (secret: string, { job, index, epoch }: Omit<BatchMate, 'watched'>, nodeId: string, now: number): string =>
	signClaims(secret, {
		k: 'result',
		ws: job.ws,
		job: job.id,
		i: index,
		e: epoch,
		node: nodeId,
		w: job.spec.width,
		h: job.spec.height,
		s: taskSeed(job.spec.seed, index),
		ct: makesReport(typeOf(job)) ? REPORT : resultTypes(job.spec),
		exp: now + TIMING.ticketTtlMs,
	});

/** What a frame needs besides the grant. */
export interface FrameContext {
	secret: string;
	/** Whether pictures may be put into the bucket by nodes. */
	direct: boolean;
	nodeId: string;
	/** Milliseconds since the epoch. */
	now: number;
}

const uploadOf = ({ direct }: FrameContext, job: Job): { upload?: 'direct' } =>
	direct && !makesReport(typeOf(job)) ? { upload: 'direct' } : {};

const mateFrame = (context: FrameContext, mate: BatchMate, lead: Job): BatchTask => {
	const { secret, nodeId, now } = context;
	const { job, index, epoch, watched } = mate;
	return {
		jobId: job.id,
		index,
		epoch,
		...(job === lead ? {} : { spec: publicSpec(job.spec) }),
		seed: taskSeed(job.spec.seed, index),
		ticket: ticketFor(secret, mate, nodeId, now),
		...uploadOf(context, job),
		inputs: inputsOf(secret, job, now),
		...(job.traceId === null ? {} : { traceId: job.traceId }),
		...(watched ? { watched: true } : {}),
	};
};

/** Builds the frame of a grant. */
export const taskFrame = (context: FrameContext, send: Extract<Send, { kind: 'task' }>): TaskFrame => {
	const { secret, nodeId, now } = context;
	const { job, index, epoch, slotId, leaseMs, watched, source, batch } = send;
	const spec = publicSpec(job.spec);
	return {
		t: 'task',
		jobId: job.id,
		index,
		epoch,
		slotId,
		leaseMs,
		spec: source === undefined ? spec : { ...spec, params: { ...spec.params, source } },
		seed: taskSeed(job.spec.seed, index),
		ticket: ticketFor(secret, send, nodeId, now),
		...uploadOf(context, job),
		inputs: inputsOf(secret, job, now),
		...(job.traceId === null ? {} : { traceId: job.traceId }),
		...(watched ? { watched: true } : {}),
		...(batch === undefined ? {} : { batch: batch.map((mate) => mateFrame(context, mate, job)) }),
	};
};

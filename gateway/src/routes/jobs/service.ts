/**
 * What the job routes do, apart from HTTP: submit, read, cancel, remove.
 * @module
 */
import {
	isTerminal,
	LimnerError,
	shardOfJob,
	TIMING,
	toError,
	type AnyJobRequest,
	type JobRequest,
	type JobSpec,
	type JobView,
	type QueueView,
	type TaskType,
} from '@limner/shared';
import { recordAction, whoOf } from '../../lib/audit.ts';
import { callerProof, hasScope } from '../../lib/auth.ts';
import { canonicalJson, sha256Hex } from '../../lib/canonical.ts';
import type { KnownModel } from '../../lib/catalog.ts';
import { baseUrl, type AppContext } from '../../lib/context.ts';
import { defined } from '../../lib/defined.ts';
import { describeError } from '../../lib/log.ts';
import { askModels, modelsOf, repainterFor } from '../../lib/models.ts';
import { validationError } from '../../lib/problem.ts';
import { idempotent, poolOf, workspaceOf } from '../../lib/stubs.ts';
import { jobView, mergeLive, type ViewContext } from '../../lib/views.ts';
import { storageOf } from '../../storage/index.ts';
import { judgePrompt, type JudgedPrompt } from '../../policy/judge.ts';
import { refusedSubmit } from '../../policy/refusals.ts';
import type { JobRow, LiveJob, SubmitInput, SubmitOutput, WorkspaceRpc } from '../../rpc.ts';
import { careSpec, isCare, needsModel } from './care.ts';
import { inputKeysOf, type InputSource } from './inputs.ts';
import { resolveRequest } from './resolve.ts';

export const viewContext = (c: AppContext, nowMs: number): ViewContext => ({
	secret: c.env.LIMNER_SECRET,
	base: baseUrl(c.env.PUBLIC_URL, c.req.url),
	nowMs,
});

export const workspace = (c: AppContext): (() => WorkspaceRpc) => {
	const { ws } = c.get('principal');
	return () => workspaceOf(c.env, ws);
};

/**
 * The row of a job of the caller's workspace.
 * @throws {LimnerError} `not_found`
 */
export const rowOf = async (c: AppContext, jobId: string): Promise<JobRow> => {
	const row = await idempotent(workspace(c), (stub) => stub.getJob(jobId));
	if (row === null) throw new LimnerError('not_found', { detail: `there is no job ${jobId}` });
	return row;
};

/** What the Pool knows of an open job; nothing of a finished one, because its row is the truth. */
export const liveOf = async (c: AppContext, row: JobRow): Promise<LiveJob | undefined> => {
	const shard = shardOfJob(row.id);
	if (shard === undefined || isTerminal('job', row.state)) return undefined;
	const live = await idempotent(
		() => poolOf(c.env, shard),
		(stub) => stub.view(row.ws, row.id),
	);
	return live ?? undefined;
};

/**
 * The row as it stands now: the Pool settles in batches, so for a moment a row is behind what callers have already seen.
 * @throws {LimnerError} `not_found`
 */
export const currentRow = async (c: AppContext, jobId: string): Promise<JobRow> => {
	const row = await rowOf(c, jobId);
	return mergeLive(row, await liveOf(c, row));
};

/** A job as its owner sees it now. */
export const viewOf = async (c: AppContext, jobId: string): Promise<JobView> => {
	const row = await rowOf(c, jobId);
	return jobView(viewContext(c, Date.now()), row, await liveOf(c, row));
};

/** Rows as views; the open ones are asked of their shards, one call a shard. */
export const viewsOf = async (c: AppContext, rows: JobRow[]): Promise<JobView[]> => {
	const byShard = new Map<number, string[]>();
	for (const row of rows) {
		const shard = shardOfJob(row.id);
		if (shard !== undefined && !isTerminal('job', row.state)) byShard.set(shard, [...(byShard.get(shard) ?? []), row.id]);
	}
	const { ws } = c.get('principal');
	const answers = await Promise.all(
		[...byShard].map(([shard, ids]) =>
			idempotent(
				() => poolOf(c.env, shard),
				(stub) => stub.views(ws, ids),
			),
		),
	);
	const live = new Map(answers.flat().map((job) => [job.id, job]));
	const context = viewContext(c, Date.now());
	return rows.map((row) => jobView(context, row, live.get(row.id)));
};

/**
 * Whoever looks after the pool needs more than the right to make pictures.
 * @throws {LimnerError} `forbidden`
 */
const mayCare = (c: AppContext, type: TaskType): void => {
	if (type !== 'GENERAL' && !hasScope(c.get('principal').scopes, 'supervisor:write'))
		throw new LimnerError('forbidden', { detail: `a ${type} task needs the scope supervisor:write` });
};

/** @param masked a request that names no model, but has a mask, means the default model's repainter where a node has one */
const findModel = async (c: AppContext, wanted: string | undefined, masked = false): Promise<KnownModel> => {
	const { ws } = c.get('principal');
	const name = wanted ?? c.env.DEFAULT_MODEL;
	const named = (known: KnownModel): boolean => known.name === name;
	const model = (await modelsOf(c, ws)).find(named) ?? (await askModels(c, ws)).find(named);
	if (model !== undefined) return masked && wanted === undefined ? repainterFor(c, model) : model;
	const models = await modelsOf(c, ws);
	const there = models.map((known) => known.name).join(', ');
	const detail = `no node has ever offered the model ${name}; there are: ${there}. A node gets another one with {"taskType":"INGEST","source":"owner/name"} or \`limner models pull\``;
	throw new LimnerError('model_unknown', { detail, errors: [{ pointer: '/model', detail, code: 'model_unknown' }] });
};

/**
 * Any request as the spec that is stored: pictures, or a task that looks after the pool.
 * @throws {LimnerError} `model_unknown`, `validation_failed`, `forbidden`
 */
export const anySpecOf = async (c: AppContext, request: AnyJobRequest, nowMs: number): Promise<{ spec: JobSpec; warnings: string[] }> => {
	if (!isCare(request)) return specOf(c, request, nowMs);
	mayCare(c, request.taskType);
	const model = needsModel(request) ? await findModel(c, request.model) : undefined;
	return { spec: careSpec(request, model, nowMs), warnings: [] };
};

/**
 * A request as the spec that is stored.
 * @throws {LimnerError} `model_unknown`, `validation_failed`
 */
export const specOf = async (c: AppContext, request: JobRequest, nowMs: number): Promise<{ spec: JobSpec; warnings: string[] }> => {
	const model = await findModel(c, request.model, request.maskImage !== undefined);
	const [randomSeed = 0] = crypto.getRandomValues(new Uint32Array(1));
	const resolved = resolveRequest({ request, model, nowMs, randomSeed });
	if (!resolved.ok) throw validationError(resolved.errors);
	return resolved;
};

export interface Submission {
	spec: JobSpec;
	warnings: string[];
	/** Hashed for the idempotency check: what the caller sent, before any default. */
	body: unknown;
	idempotencyKey: string | undefined;
	retryOf?: string;
	/** Reservation to draw from. */
	allocationId?: string;
}
export interface Submitted {
	row: JobRow;
	replayed: boolean;
	/** The Pool's answer; absent for a replay, and when the Pool could not be asked now. */
	queue: QueueView | undefined;
	/** The tightest limit afterwards, when there is one. */
}

/**
 * Hands an accepted job to its shard. A failure is not the caller's: the job is durable, and the Workspace's sweep hands
 * it over again.
 */
const handOver = async (c: AppContext, { row, principal, shard, deps }: SubmitOutput, nowMs: number): Promise<QueueView | undefined> => {
	const job = {
		...(deps === undefined ? {} : { deps }),
		id: row.id,
		ws: row.ws,
		weight: principal.weight,
		spec: row.spec,
		createdAt: row.createdAt,
		warnings: row.warnings,
		keyId: principal.keyId,
		...(row.traceId === undefined ? {} : { traceId: row.traceId }),
		...(row.retryOf === undefined ? {} : { retryOf: row.retryOf }),
	};
	try {
		const answer = await idempotent(
			() => poolOf(c.env, shard),
			(stub) => stub.enqueue(job, nowMs + TIMING.enqueueNotAfterMs),
		);
		if (answer.ok) return answer.queue;
		c.get('log').warn('the pool refused a job for now', { jobId: row.id, code: answer.code, detail: answer.detail });
	} catch (error) {
		c.get('log').error('the pool could not be asked; the job will be handed over later', { jobId: row.id, ...describeError(error) });
	}
	return undefined;
};

/** Where input pictures are looked up. */
export const inputSource = (c: AppContext): InputSource => ({
	asset: (assetId) => idempotent(workspace(c), (stub) => stub.getAsset(assetId)),
	job: async (jobId) => {
		const row = await idempotent(workspace(c), (stub) => stub.getJob(jobId));
		return row === null ? null : mergeLive(row, await liveOf(c, row));
	},
});

/**
 * What the content policy leaves of a submission. Its refusal is thrown at once, unless the same request may have been
 * accepted before: then the Workspace looks.
 */
const screen = async (c: AppContext, { spec, idempotencyKey }: Submission): Promise<JudgedPrompt> => {
	const judged = await judgePrompt(c, spec);
	if (judged.refusal === undefined) return judged;
	c.get('log').info('the content policy refused a prompt', { code: judged.refusal.code });
	if (idempotencyKey === undefined) throw await refusedSubmit(c, judged.refusal, judged.spec);
	return judged;
};

/**
 * Accepts a job: writes it, then hands it to its shard.
 * @throws {LimnerError} what the Workspace refuses, e.g. `queue_full`, `idempotency_mismatch`
 */
export const submit = async (c: AppContext, submission: Submission, nowMs: number): Promise<Submitted> => {
	mayCare(c, submission.spec.taskType ?? 'GENERAL');
	const proof = await callerProof(c);
	const { warnings, idempotencyKey, retryOf, allocationId } = submission;
	const { spec, refusal } = await screen(c, submission);
	const inputKeys = await inputKeysOf(inputSource(c), proof.ws, spec, nowMs);
	const input: SubmitInput = {
		keyId: proof.keyId,
		spec: { ...spec, ...defined({ inputKeys }) },
		warnings,
		traceId: c.get('traceId'),
		...defined({ keyHash: proof.keyHash, caller: proof.caller, retryOf, allocationId, refusal }),
		...(idempotencyKey === undefined ? {} : { idempotency: { key: idempotencyKey, bodyHash: sha256Hex(canonicalJson(submission.body)) } }),
	};
	// Without an idempotency key a second try could make a second job, so only a keyed submit is repeated.
	const call = (stub: WorkspaceRpc) => stub.submit(proof.ws, input);
	const answer = await (idempotencyKey === undefined ? call(workspaceOf(c.env, proof.ws)) : idempotent(workspace(c), call));
	if (!answer.ok) throw await refusedSubmit(c, answer, spec);
	if (answer.rateLimit !== undefined) c.set('rateLimit', answer.rateLimit);
	// A replay too: the first request may have died before it got here, and handing over again changes nothing.
	const queue = isTerminal('job', answer.row.state) ? undefined : await handOver(c, answer, nowMs);
	return { row: answer.row, replayed: answer.replayed, queue: answer.replayed ? undefined : queue };
};

/**
 * Cancels an open job.
 * @param subtree also everything that depends on it, even when it has ended itself
 * @throws {LimnerError} `conflict` when it has ended otherwise
 */
export const cancel = async (c: AppContext, row: JobRow, subtree = false): Promise<void> => {
	if (row.state === 'canceled' && !subtree) return;
	if (isTerminal('job', row.state) && !subtree) throw new LimnerError('conflict', { detail: `the job has already ${row.state}` });
	const { ws } = c.get('principal');
	const answer = await idempotent(
		() => poolOf(c.env, shardOfJob(row.id) ?? 0),
		(stub) => stub.cancel(ws, row.id, whoOf(c), subtree),
	);
	if (!answer.ok) throw toError(answer);
	if (answer.state !== 'canceled' && !subtree) throw new LimnerError('conflict', { detail: `the job has already ${answer.state}` });
};

/**
 * Gives a job another priority, for what still waits of it.
 * @throws {LimnerError} `conflict` when nothing waits, `retry_later` when its shard has not got it yet
 */
export const prioritize = async (c: AppContext, row: JobRow, priority: number): Promise<void> => {
	if (isTerminal('job', row.state)) throw new LimnerError('conflict', { detail: `the job has already ${row.state}` });
	const { ws } = c.get('principal');
	const answer = await idempotent(
		() => poolOf(c.env, shardOfJob(row.id) ?? 0),
		(stub) => stub.prioritize(ws, row.id, priority, whoOf(c)),
	);
	// The row is there, so the job exists: its hand-over is under way, or comes again within a minute.
	if (!answer.ok && answer.code === 'not_found')
		throw new LimnerError('retry_later', { detail: 'the job is on its way to the queue; try again in a moment' });
	if (!answer.ok) throw toError(answer);
	if (answer.before !== priority) await recordAction(c, 'job.priority', row.id, { from: answer.before, to: priority });
};

/** Pauses between looks at a row that is about to be settled, in milliseconds. */
const SETTLE_LOOKS_MS = [100, 200, 400, 800];

/** The row of a job, a moment later when the Pool has ended it and the Workspace is about to settle it; `null` without one. */
export const settlingRow = async (stub: () => WorkspaceRpc, jobId: string): Promise<JobRow | null> => {
	const look = () => idempotent(stub, (each) => each.getJob(jobId));
	let row = await look();
	for (const ms of SETTLE_LOOKS_MS) {
		if (row === null || isTerminal('job', row.state)) return row;
		await new Promise((resolve) => setTimeout(resolve, ms));
		row = await look();
	}
	return row;
};

/** Forgets a finished job's pictures, then deletes them. */
export const purge = async (c: AppContext, jobId: string): Promise<void> => {
	await settlingRow(workspace(c), jobId);
	const answer = await idempotent(workspace(c), (stub) => stub.purgeImages(jobId));
	if (!answer.ok) throw toError(answer);
	if (answer.keys.length > 0) await storageOf(c.env).delete(answer.keys);
};

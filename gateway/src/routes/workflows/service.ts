/**
 * What the workflow routes do, apart from HTTP: submit a graph, read it, cancel it, follow all of it.
 * @module
 */
import {
	firstJobOf,
	isTerminal,
	LimnerError,
	TIMING,
	type BridgeFrame,
	type JobSpec,
	type JobView,
	type Refusal,
	type WorkflowJob,
	type WorkflowRequest,
	type WorkflowState,
	type WorkflowView,
} from '@limner/shared';
import { callerProof } from '../../lib/auth.ts';
import { followJob } from '../../lib/bridge.ts';
import { canonicalJson, sha256Hex } from '../../lib/canonical.ts';
import { baseUrl, type AppContext } from '../../lib/context.ts';
import { defined } from '../../lib/defined.ts';
import { describeError } from '../../lib/log.ts';
import { validationError } from '../../lib/problem.ts';
import { idempotent, poolOf } from '../../lib/stubs.ts';
import { judgePrompt } from '../../policy/judge.ts';
import { refusedSubmit } from '../../policy/refusals.ts';
import type { JobRow, WorkflowSubmitInput, WorkflowSubmitJob, WorkflowSubmitOutput } from '../../rpc.ts';
import { clientFrame } from '../events/frames.ts';
import { inputKeysOf } from '../jobs/inputs.ts';
import { anySpecOf, cancel, inputSource, rowOf, viewContext, viewsOf, workspace } from '../jobs/service.ts';

/** Puts the place of a member before the pointers of its own errors. */
const within = async <T>(i: number, work: () => Promise<T>): Promise<T> => {
	try {
		return await work();
	} catch (error) {
		if (!(error instanceof LimnerError) || error.errors === undefined) throw error;
		throw validationError(error.errors.map((each) => ({ ...each, pointer: `/jobs/${i}${each.pointer}` })));
	}
};

/** A member, and what the content policy has against it. */
type Member = WorkflowSubmitJob & { refusal?: Refusal };

const memberOf = async (c: AppContext, job: WorkflowJob, whole: WorkflowRequest, nowMs: number): Promise<Member> => {
	const { key, dependsOn = [], ...request } = job;
	const { spec: asked, warnings } = await anySpecOf(c, request, nowMs);
	const { spec, refusal } = await judgePrompt(c, asked);
	const onDependencyFailure = spec.onDependencyFailure ?? whole.onDependencyFailure;
	const { ws } = c.get('principal');
	const inputKeys = await inputKeysOf(inputSource(c), ws, { ...spec, dependsOn }, nowMs);
	const full: JobSpec = {
		...spec,
		...(onDependencyFailure === undefined ? {} : { onDependencyFailure }),
		...(inputKeys === undefined || Object.keys(inputKeys).length === 0 ? {} : { inputKeys }),
	};
	return {
		key,
		spec: full,
		warnings,
		dependsOn,
		...(refusal === undefined ? {} : { refusal: { ...refusal, detail: `job ${key}: ${refusal.detail ?? ''}` } }),
	};
};

/** Hands a graph to its shard. As with single jobs, a failure here is mended by the Workspace's sweep. */
const handOver = async (c: AppContext, { jobs, shard }: WorkflowSubmitOutput, nowMs: number): Promise<void> => {
	try {
		const answer = await idempotent(
			() => poolOf(c.env, shard),
			(stub) => stub.enqueueAll(jobs, nowMs + TIMING.enqueueNotAfterMs),
		);
		if (!answer.ok) c.get('log').warn('the pool refused a workflow for now', { code: answer.code, detail: answer.detail });
	} catch (error) {
		c.get('log').error('the pool could not be asked; the workflow will be handed over later', describeError(error));
	}
};

/**
 * Accepts a workflow: all its jobs or none.
 * @throws {LimnerError} what a member is refused for, with a pointer into `/jobs/<i>`
 */
export const submitWorkflow = async (
	c: AppContext,
	request: WorkflowRequest,
	idempotencyKey: string | undefined,
	nowMs: number,
): Promise<{ rows: JobRow[]; replayed: boolean }> => {
	const proof = await callerProof(c);
	const members: Member[] = [];
	for (const [i, job] of request.jobs.entries()) members.push(await within(i, () => memberOf(c, job, request, nowMs)));
	const refusal = members.find((member) => member.refusal !== undefined)?.refusal;
	const refusedSpec = members.find((member) => member.refusal !== undefined)?.spec;
	if (refusal !== undefined && idempotencyKey === undefined) throw await refusedSubmit(c, refusal, refusedSpec);
	const jobs: WorkflowSubmitJob[] = members.map(({ refusal: _said, ...job }) => job);
	const input: WorkflowSubmitInput = {
		keyId: proof.keyId,
		jobs,
		traceId: c.get('traceId'),
		...defined({ keyHash: proof.keyHash, caller: proof.caller, name: request.name, refusal }),
		...(idempotencyKey === undefined ? {} : { idempotency: { key: idempotencyKey, bodyHash: sha256Hex(canonicalJson(request)) } }),
	};
	const stub = workspace(c);
	const answer = await (idempotencyKey === undefined
		? stub().submitWorkflow(proof.ws, input)
		: idempotent(stub, (each) => each.submitWorkflow(proof.ws, input)));
	if (!answer.ok) throw await refusedSubmit(c, answer, refusedSpec);
	if (answer.rateLimit !== undefined) c.set('rateLimit', answer.rateLimit);
	if (answer.rows.some((row) => !isTerminal('job', row.state))) await handOver(c, answer, nowMs);
	return { rows: answer.rows, replayed: answer.replayed };
};

/**
 * Rows of a workflow's jobs, in the order of the request.
 * @throws {LimnerError} `not_found`
 */
export const rowsOf = async (c: AppContext, workflowId: string): Promise<JobRow[]> => {
	const missing = new LimnerError('not_found', { detail: `there is no workflow ${workflowId}` });
	const first = await rowOf(c, firstJobOf(workflowId)).catch((error: unknown) => {
		throw error instanceof LimnerError && error.code === 'not_found' ? missing : error;
	});
	const members = first.spec.workflow?.members;
	if (members === undefined) throw missing;
	return idempotent(workspace(c), (stub) => stub.getJobs(members.map(({ job }) => job)));
};

/** running until every job has ended; then the worst end of all. */
export const stateOf = (states: readonly JobView['state'][]): WorkflowState => {
	if (states.some((state) => !isTerminal('job', state))) return 'running';
	if (states.every((state) => state === 'succeeded')) return 'succeeded';
	return states.some((state) => state === 'failed' || state === 'expired') ? 'failed' : 'canceled';
};

const handoffsOf = (jobs: readonly JobView[]): WorkflowView['handoffs'] => {
	const all = jobs.flatMap((job) =>
		job.history.flatMap(({ type, handoff }) => (type === 'handoff' && handoff !== undefined ? [handoff] : [])),
	);
	const succeeded = all.filter(({ ok }) => ok).length;
	return { decided: all.length, succeeded, ...(all.length === 0 ? {} : { successRate: succeeded / all.length }) };
};

/** A workflow as its owner sees it now. */
export const workflowView = async (c: AppContext, rows: readonly JobRow[]): Promise<WorkflowView> => {
	const [first] = rows;
	if (first?.spec.workflow === undefined) throw new LimnerError('internal', { detail: 'the workflow has lost its first job' });
	const views = await viewsOf(c, [...rows]);
	const state = stateOf(views.map((view) => view.state));
	const last = views
		.map((view) => view.finishedAt ?? '')
		.toSorted()
		.at(-1);
	const { id, name } = first.spec.workflow;
	const self = `${baseUrl(c.env.PUBLIC_URL, c.req.url)}/api/v1/workflows/${id}`;
	return {
		id,
		...(name === undefined ? {} : { name }),
		state,
		createdAt: new Date(first.createdAt).toISOString(),
		...(state === 'running' || last === undefined || last === '' ? {} : { finishedAt: last }),
		jobs: views.map((view, i) => ({ ...view, key: rows[i]?.spec.workflow?.key ?? '' })),
		handoffs: handoffsOf(views),
		links: { self, events: `${self}/events`, cancel: `${self}/cancel` },
	};
};

/** Cancels what is open of it: from those that nobody depends on, so that no job starts in between. */
export const cancelWorkflow = async (c: AppContext, rows: readonly JobRow[]): Promise<void> => {
	for (const row of rows) if (!isTerminal('job', row.state)) await cancel(c, row, true);
};

/** What a follower has read of each member, in their order. */
export const parsePlace = (text: string | undefined, members: number): number[] => {
	const parts = /^\d{1,9}(\.\d{1,9})*$/.test(text ?? '') ? (text ?? '').split('.').map(Number) : [];
	return Array.from({ length: members }, (_, i) => parts[i] ?? 0);
};

/** An event of the stream: which job, and the place in all of them for a reader who comes back. */
export interface WorkflowEvent {
	event: BridgeFrame['event'];
	id?: string;
	data: unknown;
}

/** Follows all members at once; ends when each of them has ended. */
export const followWorkflow = async (
	c: AppContext,
	rows: readonly JobRow[],
	after: readonly number[],
	emit: (event: WorkflowEvent) => void,
	signal: AbortSignal,
): Promise<void> => {
	const place = [...after];
	const follow = async (row: JobRow, i: number): Promise<void> => {
		const key = row.spec.workflow?.key ?? '';
		const onFrame = (frame: BridgeFrame): void => {
			const { event, id, data } = clientFrame(viewContext(c, Date.now()), row.ws, row.id, frame);
			if (id !== undefined) place[i] = id;
			const told = { job: row.id, key, ...(typeof data === 'object' ? data : {}) };
			emit({ event, ...(id === undefined ? {} : { id: place.join('.') }), data: told });
		};
		const end = await followJob({
			env: c.env,
			ws: row.ws,
			jobId: row.id,
			after: after[i] ?? 0,
			signal,
			row: () => rowOf(c, row.id),
			onFrame,
		});
		if (end === 'lost') c.get('log').warn('a job of a workflow could not be followed', { jobId: row.id });
	};
	await Promise.all(rows.map(follow));
};

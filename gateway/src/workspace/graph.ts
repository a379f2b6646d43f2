/**
 * What a Workspace decides about jobs that depend on others: whether the graph is one, how deep it is, and what is known
 * of the jobs that exist already. Pure.
 * @module
 */
import {
	isJobId,
	isTerminal,
	newJobId,
	refuse,
	WORKFLOW_LIMITS,
	workflowIdOf,
	type FieldError,
	type InputImage,
	type JobSpec,
	type Refusal,
} from '@limner/shared';
import type { JobRow, KnownDependency, WorkflowSubmitInput, WorkflowSubmitJob } from '../rpc.ts';
import type { IdemRow, StoredJob } from './jobs.ts';

type Find = (jobId: string) => JobRow | undefined;

const QUEUE_FULL_RETRY_S = 5;

/** A job as its shard may need it. */
export const knownDependency = (row: JobRow): KnownDependency => ({
	id: row.id,
	state: row.state,
	images: row.images.map(({ index, key }) => ({ index, key })),
});

/** What the Workspace knows of a spec's dependencies, for a hand-over. */
export const knownDependencies = (spec: JobSpec, find: Find): KnownDependency[] =>
	[...new Set(spec.dependsOn)].flatMap((id) => {
		const row = find(id);
		return row === undefined ? [] : [knownDependency(row)];
	});

const refuseFields = (errors: FieldError[]): Refusal =>
	refuse('validation_failed', `${errors[0]?.pointer ?? ''}: ${errors[0]?.detail ?? ''}`, { errors });

const tooDeep = (pointer: string): FieldError => ({
	pointer,
	detail: `at most ${WORKFLOW_LIMITS.depthMax} jobs may depend on one another in a row`,
	code: 'too_deep',
});

export type Placed = { ok: true; spec: JobSpec; deps: KnownDependency[] } | Refusal;

/** Depth and dependencies of a single job. Every job that it names must exist; so no cycle can come about. */
export const placeJob = (spec: JobSpec, find: Find): Placed => {
	const ids = [...new Set(spec.dependsOn)];
	if (ids.length === 0) return { ok: true, spec, deps: [] };
	const errors = ids.flatMap((id, i): FieldError[] =>
		find(id) === undefined ? [{ pointer: `/dependsOn/${i}`, detail: 'there is no such job', code: 'not_found' }] : [],
	);
	if (errors.length > 0) return refuseFields(errors);
	const deps = ids.flatMap((id) => find(id) ?? []);
	const depth = 1 + Math.max(...deps.map((row) => (isTerminal('job', row.state) ? 1 : (row.spec.depth ?? 1))));
	if (depth > WORKFLOW_LIMITS.depthMax) return refuseFields([tooDeep('/dependsOn')]);
	return { ok: true, spec: { ...spec, dependsOn: ids, depth }, deps: deps.map(knownDependency) };
};

export interface GraphContext {
	ws: string;
	shard: number;
	openJobs: number;
	maxQueueDepth: number;
	idem: IdemRow | undefined;
	nowMs: number;
	/** At least 10 fresh bytes for each job. */
	random: () => Uint8Array;
	find: Find;
}

export type GraphDecision =
	| { kind: 'insert'; jobs: StoredJob[]; deps: KnownDependency[][] }
	| { kind: 'replay'; jobs: StoredJob[] }
	| { kind: 'refused'; refusal: Refusal };

const INPUTS = ['initImage', 'maskImage'] as const;

/** Jobs that a member waits for: those that it says, and those whose pictures it starts from. */
const neededBy = (job: WorkflowSubmitJob, keys: ReadonlySet<string>): string[] => {
	const pictures = INPUTS.flatMap((field) => {
		const input = job.spec[field];
		return input !== undefined && 'job' in input && keys.has(input.job) ? [input.job] : [];
	});
	return [...new Set([...job.dependsOn, ...pictures])];
};

const referenceErrors = (jobs: readonly WorkflowSubmitJob[], keys: ReadonlySet<string>, find: Find): FieldError[] =>
	jobs.flatMap((job, i) => [
		...(jobs.findIndex((other) => other.key === job.key) < i
			? [{ pointer: `/jobs/${i}/key`, detail: `"${job.key}" is the key of another job`, code: 'not_unique' }]
			: []),
		...job.dependsOn.flatMap((name, j) =>
			keys.has(name) || find(name) !== undefined
				? []
				: [{ pointer: `/jobs/${i}/dependsOn/${j}`, detail: `"${name}" is neither a key here nor a job that exists`, code: 'not_found' }],
		),
		...INPUTS.flatMap((field) => pictureErrors(jobs, job, i, field)),
	]);

const pictureErrors = (
	jobs: readonly WorkflowSubmitJob[],
	job: WorkflowSubmitJob,
	i: number,
	field: (typeof INPUTS)[number],
): FieldError[] => {
	const input = job.spec[field];
	if (input === undefined || !('job' in input)) return [];
	const source = jobs.find((other) => other.key === input.job);
	if (source === undefined) {
		if (isJobId(input.job)) return [];
		return [
			{ pointer: `/jobs/${i}/${field}/job`, detail: `"${input.job}" is neither a key of this workflow nor a job id`, code: 'not_found' },
		];
	}
	const type = source.spec.taskType ?? 'GENERAL';
	if (type !== 'GENERAL' && type !== 'HEARTBEAT')
		return [{ pointer: `/jobs/${i}/${field}/job`, detail: `"${input.job}" is a ${type} task and makes no picture`, code: 'not_allowed' }];
	if (input.index < source.spec.n) return [];
	return [{ pointer: `/jobs/${i}/${field}/index`, detail: `"${input.job}" makes ${source.spec.n} pictures only`, code: 'too_big' }];
};

/**
 * Depth of every member, or the members of a cycle: Kahn's algorithm.
 * @returns depths by key; what is missing in it stands in a cycle or behind one
 */
const depthsOf = (jobs: readonly WorkflowSubmitJob[], keys: ReadonlySet<string>, find: Find): Map<string, number> => {
	const depths = new Map<string, number>();
	const outside = (name: string): number => {
		const row = find(name);
		return row === undefined || isTerminal('job', row.state) ? 1 : (row.spec.depth ?? 1);
	};
	for (let found = true; found;) {
		found = false;
		for (const job of jobs) {
			const needs = neededBy(job, keys);
			if (depths.has(job.key) || needs.some((name) => keys.has(name) && !depths.has(name))) continue;
			depths.set(job.key, 1 + Math.max(0, ...needs.map((name) => (keys.has(name) ? (depths.get(name) ?? 1) : outside(name)))));
			found = true;
		}
	}
	return depths;
};

const graphErrors = (jobs: readonly WorkflowSubmitJob[], depths: ReadonlyMap<string, number>): FieldError[] =>
	jobs.flatMap((job, i) => {
		const depth = depths.get(job.key);
		if (depth === undefined) {
			const detail = `"${job.key}" waits for itself, directly or through others: the jobs form a cycle`;
			return [{ pointer: `/jobs/${i}/dependsOn`, detail, code: 'cycle' }];
		}
		return depth > WORKFLOW_LIMITS.depthMax ? [tooDeep(`/jobs/${i}/dependsOn`)] : [];
	});

const withIds = (input: InputImage | undefined, ids: ReadonlyMap<string, string>): InputImage | undefined =>
	input !== undefined && 'job' in input ? { ...input, job: ids.get(input.job) ?? input.job } : input;

/** A member with ids in place of keys. */
const memberSpec = (job: WorkflowSubmitJob, keys: ReadonlySet<string>, ids: ReadonlyMap<string, string>, depth: number): JobSpec => {
	const dependsOn = neededBy(job, keys).map((name) => ids.get(name) ?? name);
	const inputs = INPUTS.flatMap((field) => {
		const input = withIds(job.spec[field], ids);
		return input === undefined ? [] : [[field, input] as const];
	});
	return { ...job.spec, ...Object.fromEntries(inputs), ...(dependsOn.length === 0 ? {} : { dependsOn, depth }) };
};

const replay = (idem: IdemRow, find: (id: string) => StoredJob | undefined): StoredJob[] => {
	const members = idem.job.row.spec.workflow?.members ?? [];
	return members.flatMap(({ job }) => find(job) ?? []);
};

/** All jobs of a graph or none. */
export const decideWorkflow = (
	input: WorkflowSubmitInput,
	context: GraphContext,
	stored: (id: string) => StoredJob | undefined,
): GraphDecision => {
	const { jobs, idempotency } = input;
	const { idem } = context;
	if (idem !== undefined && idempotency !== undefined) {
		if (idem.bodyHash === idempotency.bodyHash) return { kind: 'replay', jobs: replay(idem, stored) };
		const detail = 'the Idempotency-Key was used with another body; use a new key for a new request';
		return { kind: 'refused', refusal: refuse('idempotency_mismatch', detail) };
	}
	if (context.openJobs + jobs.length > context.maxQueueDepth) {
		const detail = `this workspace has ${context.openJobs} open jobs and may have ${context.maxQueueDepth}; the workflow has ${jobs.length}`;
		return { kind: 'refused', refusal: refuse('queue_full', detail, { retryAfterS: QUEUE_FULL_RETRY_S }) };
	}
	const keys = new Set(jobs.map((job) => job.key));
	const depths = depthsOf(jobs, keys, context.find);
	const errors = [...referenceErrors(jobs, keys, context.find), ...graphErrors(jobs, depths)];
	if (errors.length > 0) return { kind: 'refused', refusal: refuseFields(errors) };
	return insert(input, context, keys, depths);
};

const insert = (
	input: WorkflowSubmitInput,
	context: GraphContext,
	keys: ReadonlySet<string>,
	depths: ReadonlyMap<string, number>,
): GraphDecision => {
	const ids = new Map(input.jobs.map((job) => [job.key, newJobId(context.nowMs, context.random(), context.shard)]));
	const members = input.jobs.map(({ key }) => ({ key, job: ids.get(key) ?? '' }));
	const workflowId = workflowIdOf(members[0]?.job ?? '');
	const rows = input.jobs.map((job, i): JobRow => {
		const spec = memberSpec(job, keys, ids, depths.get(job.key) ?? 1);
		const first = i === 0 ? { members, ...(input.name === undefined ? {} : { name: input.name }) } : {};
		return {
			id: ids.get(job.key) ?? '',
			ws: context.ws,
			state: spec.dependsOn === undefined ? 'queued' : 'waiting',
			spec: { ...spec, workflow: { id: workflowId, key: job.key, ...first } },
			createdAt: context.nowMs,
			images: [],
			hist: [],
			warnings: job.warnings,
			traceId: input.traceId,
		};
	});
	const find = (id: string): JobRow | undefined => rows.find((row) => row.id === id) ?? context.find(id);
	return {
		kind: 'insert',
		jobs: rows.map((row) => ({ row, keyId: input.keyId })),
		deps: rows.map((row) => knownDependencies(row.spec, find)),
	};
};

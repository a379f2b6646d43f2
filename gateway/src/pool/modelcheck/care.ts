/**
 * The second world of the model check: tasks that look after the pool. A model moves from one node to the other, a node
 * looks at itself, another pulls a model, and the model source may be out of reach when one of them asks for it.
 * @module
 */
import { makesReport, resultKey, type GrantRef, type JobSpec, type TaskType } from '@limner/shared';
import type { CompleteOutcome, ReportInput } from '../../rpc.ts';
import { asksSource } from '../care.ts';
import { typeOf, type Job, type PoolState, type Send } from '../model.ts';
import { unpackJob } from '../pack.ts';
import { specOf } from '../sim/fixtures.ts';
import type { ModelNode, System } from './system.ts';

export const AGENT_TYPES: TaskType[] = ['DISCOVERY', 'MIGRATION', 'INGEST'];
const MODEL = 'storybook';
/** Tasks that need no device draw nothing. */
const NOTHING = { width: 0, height: 0, steps: 0 };

/** Specs of this world's jobs, the first ones of which are played. */
export const careSpecs = (deadlineFrom: number, nodeIds: readonly string[]): JobSpec[] => {
	const [from = '', to = ''] = nodeIds;
	const specs: Partial<JobSpec>[] = [
		{ taskType: 'MIGRATION', nodeId: to, n: 2, params: { from, keep: false, name: MODEL } },
		{ taskType: 'DISCOVERY' },
		{ taskType: 'INGEST', params: { source: `sim/${MODEL}`, name: MODEL } },
	];
	return specs.map((spec) => specOf(deadlineFrom, { ...NOTHING, model: MODEL, ...spec }));
};

/** Whether what a node does asks the model source. */
export const mayMissSource = (jobs: PoolState['jobs'], { jobId, index }: GrantRef): boolean => {
	const job = jobs.get(jobId);
	const task = job?.tasks[index];
	return job !== undefined && task !== undefined && asksSource(job, task);
};

const must = (holds: boolean, text: () => string): void => {
	if (!holds) throw new Error(`invariant: ${text()}`);
};

type TaskSend = Extract<Send, { kind: 'task' }>;

const asks = ({ job, index }: TaskSend): boolean => {
	const task = job.tasks[index];
	return task !== undefined && asksSource(job, task);
};

/**
 * While the source is in doubt one task tries it, when its time has come, and the others wait; a model is taken away only
 * when it is elsewhere.
 * @param before what was known of the source when the step began
 */
export const checkCareGrants = (system: System, sends: readonly Send[], before: PoolState['source']): void => {
	const grants = sends.filter((send) => send.kind === 'task');
	const trials = system.pool.source === null ? 0 : grants.filter(asks).length;
	const isTime = before === null || before.retryAt <= system.now;
	must(trials === 0 || (trials === 1 && isTime), () => `${trials} tasks try the model source while it is in doubt`);
	for (const { job, index } of grants) {
		const removes = typeOf(job) === 'MIGRATION' && index === 1;
		must(!removes || job.tasks[0]?.state === 'succeeded', () => `${job.id} takes a model away that has not arrived elsewhere`);
	}
};

export const isReport = ({ spec }: Pick<Job, 'spec'>): boolean => makesReport(spec.taskType ?? 'GENERAL');

/** One report and what is to be asked when the pool does not know its job. */
export const reportOf = (
	system: System,
	node: ModelNode,
	ws: string,
	{ jobId, index, epoch }: GrantRef,
): { key: string; input: ReportInput; elsewhere: () => CompleteOutcome } => {
	const { nodeId } = node.identity;
	const sha256 = String(epoch).padStart(64, 'e');
	const key = resultKey(ws, jobId, index, epoch, sha256, 'json');
	const report = { index, key, epoch, nodeId, sha256, at: 0, data: {} };
	const elsewhere = (): CompleteOutcome => {
		const row = system.pool.settled.has(jobId) ? system.rows.get(jobId) : undefined;
		const over = row === undefined ? undefined : unpackJob(row);
		if (over?.tasks[index]?.report === key) return 'accepted';
		return system.work.get(jobId)?.state === 'queued' ? 'retry' : 'stale';
	};
	return { key, input: { ws, jobId, index, epoch, nodeId, report }, elsewhere };
};

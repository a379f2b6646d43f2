import { describe, expect, it } from 'vitest';
import { newJobId, newNodeId } from './ids.ts';
import { AnyJobRequest, firstJobOf, WorkflowRequest, workflowIdOf, WORKFLOW_ID_PATTERN } from './workflows.ts';

const NODE = newNodeId(1, new Uint8Array(10));
const JOB = newJobId(1, new Uint8Array(10), 3);
const paths = (value: unknown): string[] =>
	(AnyJobRequest.safeParse(value).error?.issues ?? []).map((issue) => issue.path.join('/') || issue.code);

const manyJobs = (count: number) => ({ jobs: Array.from({ length: count }, (_, i) => ({ key: `k${i}`, prompt: 'x' })) });

describe('AnyJobRequest', () => {
	it('takes a request without a task type for a picture', () => {
		expect(AnyJobRequest.parse({ prompt: 'a fox' })).toEqual({ prompt: 'a fox' });
		expect(AnyJobRequest.parse({ taskType: 'GENERAL', prompt: 'a fox' })).toMatchObject({ taskType: 'GENERAL' });
	});

	it('takes each kind with its own fields', () => {
		const good = [
			{ taskType: 'RESEARCH', model: 'storybook', steps: 4, repeat: 10 },
			{ taskType: 'INGEST', source: 'owner/name@main', nodeId: NODE },
			{ taskType: 'DISCOVERY', nodeId: NODE, modelSource: false },
			{ taskType: 'MIGRATION', model: 'm', from: NODE, to: NODE, keep: true },
			{ taskType: 'HEARTBEAT', model: 'storybook', priority: 9 },
		];
		expect(good.filter((value) => !AnyJobRequest.safeParse(value).success)).toEqual([]);
	});

	it('names the field that is wrong', () => {
		expect(paths({ taskType: 'RESEARCH', repeat: 11 })).toEqual(['repeat']);
		expect(paths({ taskType: 'INGEST' })).toEqual(['source']);
		expect(paths({ taskType: 'INGEST', source: '../../etc' })).toEqual(['source']);
		expect(paths({ taskType: 'INGEST', source: 'a/b', name: '../x' })).toContain('name');
		expect(paths({ taskType: 'MIGRATION', model: 'm', from: NODE })).toEqual(['to']);
		expect(paths({ taskType: 'HEARTBEAT', prompt: 'x' })).toEqual(['unrecognized_keys']);
		expect(paths({ taskType: 'OTHER' })).toEqual(['taskType']);
	});
});

describe('WorkflowRequest', () => {
	it('lets jobs name each other by key, and jobs that exist by id', () => {
		const request = {
			jobs: [
				{ key: 'a', prompt: 'x', dependsOn: [JOB] },
				{ key: 'b', prompt: 'y', dependsOn: ['a'], initImage: { job: 'a' } },
			],
		};
		expect(WorkflowRequest.safeParse(request).success).toBe(true);
	});

	it('has bounds', () => {
		expect(WorkflowRequest.safeParse(manyJobs(32)).success).toBe(true);
		expect(WorkflowRequest.safeParse(manyJobs(33)).success).toBe(false);
		expect(WorkflowRequest.safeParse(manyJobs(0)).success).toBe(false);
		expect(WorkflowRequest.safeParse({ jobs: [{ key: JOB, prompt: 'x' }] }).success).toBe(false);
	});
});

it('a workflow is named after its first job', () => {
	expect(workflowIdOf(JOB)).toMatch(WORKFLOW_ID_PATTERN);
	expect(firstJobOf(workflowIdOf(JOB))).toBe(JOB);
});

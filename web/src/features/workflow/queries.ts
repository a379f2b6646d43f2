/**
 * What the pages of workflows read from the gateway.
 * @module
 */
import type { Workflow } from '@limner/sdk';
import { useQuery } from '@tanstack/react-query';
import { queries } from '../../lib/queries.ts';
import { client } from '../../lib/session.ts';

const RUNNING_MS = 1_000;
const LIST_MS = 5_000;
/** The gateway lists jobs, and each knows its workflow: the workflows of so many latest jobs are the recent ones. */
const JOBS = 200;

/** A workflow, again and again until all of its jobs have ended. */
export const useWorkflow = (id: string) =>
	useQuery({
		queryKey: ['workflow', id],
		queryFn: ({ signal }) => client.workflows.get(id, { signal }),
		refetchInterval: ({ state }) => (state.data === undefined || state.data.state === 'running' ? RUNNING_MS : false),
	});

export const useRecentJobs = () =>
	useQuery({
		queryKey: ['workflow-jobs'],
		queryFn: async ({ signal }) => (await client.jobs.list({ limit: JOBS }, { signal })).data,
		refetchInterval: LIST_MS,
	});

/** Puts in what a call answered, so that the page need not wait for the next reading. */
export const keepWorkflow = (workflow: Workflow): void => {
	queries.setQueryData(['workflow', workflow.id], workflow);
};

/** Cancels a job and everything that depends on it. */
export const cancelSubtree = async (workflowId: string, jobId: string): Promise<void> => {
	await client.jobs.cancel(jobId, { subtree: true });
	keepWorkflow(await client.workflows.get(workflowId));
};

export const cancelWorkflow = async (id: string): Promise<void> => keepWorkflow(await client.workflows.cancel(id));

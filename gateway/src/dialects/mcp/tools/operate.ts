/**
 * `submit_workflow`, and the operator's tools.
 * @module
 */
import type { MCP_ADMIN_TOOLS, MCP_TOOLS } from '@limner/shared';
import type { z } from 'zod';
import { dataResult, type ToolHandler } from '../call.ts';

type Input<Name extends keyof typeof MCP_TOOLS> = z.output<(typeof MCP_TOOLS)[Name]['input']>;
type AdminInput<Name extends keyof typeof MCP_ADMIN_TOOLS> = z.output<(typeof MCP_ADMIN_TOOLS)[Name]['input']>;

interface WorkflowAnswer {
	id: string;
	state: string;
	jobs: { key: string; id: string; state: string }[];
}

export const submitWorkflow: ToolHandler<Input<'submit_workflow'>> = async ({ idempotency_key, ...json }, { api }) => {
	const headers = idempotency_key === undefined ? {} : { 'idempotency-key': idempotency_key };
	const workflow = await api.json<WorkflowAnswer>('/api/v1/workflows', { json, headers });
	const jobs = workflow.jobs.map(({ key, id, state }) => ({ key, job_id: id, status: state }));
	const lines = jobs.map((job) => `- ${job.key}: ${job.job_id}, ${job.status}`);
	const text = [`Accepted as ${workflow.id}. Follow each job with get_generation.`, ...lines].join('\n');
	return dataResult({ workflow_id: workflow.id, status: workflow.state, jobs }, text);
};

type Answer = Record<string, unknown>;

export const initializePool: ToolHandler<AdminInput<'initialize_pool'>> = async (input, { api }) =>
	dataResult(await api.json<Answer>('/api/v1/pool/initialize', { json: input }));

export const submitCoordinationTask: ToolHandler<AdminInput<'submit_coordination_task'>> = async (json, { api }) =>
	dataResult(await api.json<Answer>('/api/v1/jobs', { json }));

export const failCoordinationAgent: ToolHandler<AdminInput<'fail_coordination_agent'>> = async ({ agent_id, reason }, { api }) => {
	const id = encodeURIComponent(agent_id.replace('/', '.'));
	return dataResult(await api.json<Answer>(`/api/v1/pool/agents/${id}/fail`, { json: reason === undefined ? {} : { reason } }));
};

export const isolationReport: ToolHandler<AdminInput<'isolation_report'>> = async (_input, { api }) =>
	dataResult(await api.json<Answer>('/api/v1/pool/isolation-report'));

export const coordinationMetrics: ToolHandler<AdminInput<'coordination_metrics'>> = async (_input, { api }) =>
	dataResult(await api.json<Answer>('/api/v1/pool/metrics'));

export const shutdownCoordinationPool: ToolHandler<AdminInput<'shutdown_coordination_pool'>> = async ({ now }, { api }) =>
	dataResult(await api.json<Answer>(`/api/v1/pool/shutdown${now === true ? '?now=true' : ''}`, { method: 'POST' }));

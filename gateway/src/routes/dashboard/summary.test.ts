import type { JobView } from '@limner/shared';
import { describe, expect, it } from 'vitest';
import type { AlertView } from '../../delivery/rpc.ts';
import type { NodeView, WorkspaceActivity } from '../../rpc.ts';
import { dashboardOf, presenceOf, type Sources } from './summary.ts';

const NOW = 1_800_000_000_000;
const slot = (state: string, task?: object) => ({
	id: 'n1/s0',
	nodeId: 'n1',
	slotId: 's0',
	state,
	device: 'cpu',
	engine: 'mock',
	...(task === undefined ? {} : { task }),
});
const node = (over: object = {}): NodeView =>
	({
		id: 'n1',
		name: 'one',
		ws: 'w',
		labels: [],
		telemetry: [],
		trust: 'own',
		mode: 'active',
		link: 'online',
		lastSeenAt: NOW,
		connectedAt: NOW,
		slots: [slot('IDLE')],
		completed: 0,
		failed: 0,
		models: [],
		recentErrors: [],
		agentVersion: '',
		platform: '',
		taskTypes: [],
		history: { work: [], slots: [] },
		...over,
	}) as NodeView;
const activity: WorkspaceActivity = {
	succeeded: 0,
	failed: 0,
	canceled: 0,
	expired: 0,
	tasks: 0,
	tasksDone: 0,
	tasksFailed: 0,
	assigned: 0,
	assignmentMs: 0,
	handoffs: 0,
	handoffsOk: 0,
};
const job = (state: string, over: object = {}): JobView =>
	({ id: 'job_1', state, createdAt: new Date(NOW - 1000).toISOString(), request: { n: 2 }, images: [], ...over }) as unknown as JobView;
const sources = (over: Partial<Sources> = {}): Sources => ({
	nodes: [],
	open: [],
	activity,
	openAlerts: [],
	resolvedAlerts: [],
	timeline: [],
	...over,
});
const made = (over: Partial<Sources> = {}) => dashboardOf(sources(over), 60_000, NOW);

describe('dashboardOf', () => {
	it('says nothing of what it cannot know', () => {
		expect(made()).toMatchObject({
			overallCompletion: null,
			taskCompletionRate: null,
			blockerResolutionTime: null,
			handoffSuccess: null,
			blockers: [],
		});
	});

	it('counts pictures of ended and of open jobs', () => {
		const { overallCompletion, metrics } = made({
			activity: { ...activity, tasks: 6, tasksDone: 5 },
			open: [job('running', { images: [{}] })],
		});
		expect(overallCompletion).toBe(6 / 8);
		expect(metrics).toMatchObject({ jobsOpen: 1, jobsRunning: 1, jobsWaiting: 0, tasksPerMinute: 5 });
	});

	it('rates leave out what was canceled', () => {
		const seen = made({ activity: { ...activity, succeeded: 3, failed: 1, canceled: 9, handoffs: 4, handoffsOk: 3 } });
		expect([seen.taskCompletionRate, seen.handoffSuccess]).toEqual([0.75, 0.75]);
	});

	it('names blockers with their reasons, oldest first, and how long they lasted', () => {
		const alert = { id: 'alr_1', title: 'Node one is offline', raisedAt: NOW - 5000 } as AlertView;
		const seen = made({
			open: [job('queued', { queue: { reason: 'no node has the model' } }), job('running')],
			openAlerts: [alert],
			resolvedAlerts: [
				{ ...alert, resolvedAt: NOW - 3000 },
				{ ...alert, resolvedAt: NOW - 1000 },
			],
		});
		expect(seen.blockers.map(({ kind, reason }) => [kind, reason])).toEqual([
			['alert', 'Node one is offline'],
			['job', 'no node has the model'],
		]);
		expect(seen.blockerResolutionTime).toBe(3000);
	});

	it('shows what each slot does', () => {
		const busy = node({ slots: [slot('RUNNING', { jobId: 'job_1', index: 0, epoch: 1, phase: 'denoising', step: 1, steps: 4 })] });
		const seen = made({ nodes: [busy, node({ id: 'n2', link: 'offline' })] });
		expect(seen.agentStatus).toMatchObject([{ status: 'RUNNING', jobId: 'job_1', step: 1 }, { status: 'PAUSED' }]);
		expect(seen.metrics).toMatchObject({ agents: 2, agentsBusy: 1, utilization: 0.5, nodesOnline: 1 });
		expect(presenceOf([busy, node({ id: 'n2', link: 'offline' })], NOW)).toMatchObject({
			online: 1,
			total: 2,
			nodes: [{ working: ['job_1'] }, { reason: expect.stringContaining('offline') }],
		});
	});
});

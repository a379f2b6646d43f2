/**
 * How a workspace does, for alerts.
 * @module
 */
import { isTerminal } from '@limner/shared';
import type { JobRow, WorkspaceActivity, WorkspaceHealth } from '../rpc.ts';
import type { WorkspaceConfig } from './config.ts';
import { ledgerFromSql, type LedgerSql } from './schema.ts';
import type { Store } from './store.ts';

/** Rows of the ledger that are looked at: newer ones only when there were more. */
const SCAN_ROWS = 500;
const ACTIVITY_JOBS = 500;

/** Whether a good key of the workspace is the one that the gateway was started with, or what that was rotated to. */
export const holdsOperatorKey = (store: Store, bootstrapHash: string): boolean =>
	store.sql.all(
		"SELECT 1 FROM keys WHERE (hash = ? OR instr(scopes, 'operator') > 0) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)",
		bootstrapHash,
		Date.now(),
	).length > 0;

/** What was settled since a time, and what is open, oldest first. */
export const healthOf = (
	store: Store,
	sinceMs: number,
	{ maxQueueDepth, bootstrapHash }: Pick<WorkspaceConfig, 'maxQueueDepth' | 'bootstrapHash'>,
): WorkspaceHealth => {
	const health: WorkspaceHealth = {
		open: [...store.open].map(([id, createdAt]) => ({ id, createdAt })),
		settled: 0,
		failed: 0,
		poison: [],
		operator: holdsOperatorKey(store, bootstrapHash ?? ''),
		quotas: [{ name: 'queued', used: store.open.size, limit: maxQueueDepth }],
	};
	for (const sql of store.sql.each<LedgerSql>('SELECT * FROM ledger ORDER BY seq DESC LIMIT ?', SCAN_ROWS)) {
		if (sql.at < sinceMs) break;
		for (const entry of ledgerFromSql(sql).entries) {
			if (entry.type !== 'settle') continue;
			health.settled++;
			if (entry.state !== 'failed') continue;
			health.failed++;
			if (store.job(entry.job)?.row.error?.class === 'poison') health.poison.push(entry.job);
		}
	}
	return health;
};

/** Another node had to take over, or one job's result became another's beginning. */
const changedHands = (job: JobRow): boolean => job.hist.some((entry) => entry.type === 'requeued' || entry.type === 'handoff');

/** How long the job waited for its first grant. */
const countAssignment = (activity: WorkspaceActivity, { hist }: JobRow): void => {
	const queued = hist.find((entry) => entry.type === 'queued');
	const assigned = hist.find((entry) => entry.type === 'assigned');
	if (queued === undefined || assigned === undefined) return;
	activity.assigned++;
	activity.assignmentMs += Math.max(0, assigned.at - queued.at);
};

const count = (activity: WorkspaceActivity, job: JobRow): void => {
	const { state } = job;
	if (state === 'succeeded' || state === 'failed' || state === 'canceled' || state === 'expired') activity[state]++;
	activity.tasks += job.spec.n;
	// A task that looks after machines makes no picture, and is done all the same.
	activity.tasksDone += state === 'succeeded' ? job.spec.n : (job.usage?.images ?? job.images.length);
	if (state === 'failed' || state === 'expired') activity.tasksFailed += Math.max(0, job.spec.n - job.images.length);
	countAssignment(activity, job);
	if (!changedHands(job)) return;
	activity.handoffs++;
	if (state === 'succeeded') activity.handoffsOk++;
};

/** What ended since a time: at most the newest of {@link ACTIVITY_JOBS}. */
export const activityOf = (store: Store, sinceMs: number): WorkspaceActivity => {
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
	let seen = 0;
	for (const sql of store.sql.each<LedgerSql>('SELECT * FROM ledger ORDER BY seq DESC LIMIT ?', SCAN_ROWS)) {
		if (sql.at < sinceMs || seen >= ACTIVITY_JOBS) break;
		for (const entry of ledgerFromSql(sql).entries) {
			const job = entry.type === 'settle' ? store.job(entry.job)?.row : undefined;
			if (job === undefined || !isTerminal('job', job.state)) continue;
			seen++;
			count(activity, job);
		}
	}
	return activity;
};

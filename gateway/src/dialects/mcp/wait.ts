/**
 * Waits for a job while telling its progress.
 * @module
 */
import { isTerminal, MCP_LIMITS, type JobView } from '@limner/shared';
import { followJob } from '../../lib/bridge.ts';
import type { AppContext } from '../../lib/context.ts';
import { idempotent, workspaceOf } from '../../lib/stubs.ts';
import { advance, nextTold, startProgress, type JobProgress } from './progress.ts';

/** Tells the client; absent when it has not asked for progress. */
export type Tell = (progress: number, message: string) => Promise<void>;

/** Tells each change, at most every quarter of a second, and something every eight seconds. */
const teller = (tell: Tell | undefined) => {
	let told = -1;
	let toldAt = 0;
	let state: JobProgress | undefined;
	const say = (): void => {
		if (tell === undefined || state === undefined) return;
		const next = nextTold(told, state.value);
		if (next === undefined) return;
		told = next;
		toldAt = Date.now();
		// A client that has gone is noticed by the signal, not here.
		tell(next, state.message).catch(() => undefined);
	};
	const heartbeat = setInterval(say, MCP_LIMITS.progressEveryMs);
	return {
		update: (next: JobProgress): void => {
			const news = state === undefined || next.message !== state.message || next.value !== state.value;
			state = next;
			if (news && (Date.now() - toldAt >= MCP_LIMITS.progressMinMs || next.value === 100)) say();
		},
		stop: (): void => clearInterval(heartbeat),
	};
};

/**
 * Follows an open job until it ends, the time is over, or the caller goes away.
 * @returns its progress by then
 */
export const waitForJob = async (
	c: AppContext,
	job: JobView,
	options: { seconds: number; signal: AbortSignal; tell: Tell | undefined },
): Promise<JobProgress> => {
	const { ws } = c.get('principal');
	let state = startProgress(job.request.n);
	if (isTerminal('job', job.state)) return { ...state, value: 100 };
	const told = teller(options.tell);
	told.update(job.queue === undefined ? state : advance(state, { event: 'position', data: job.queue }));
	try {
		await followJob({
			env: c.env,
			ws,
			jobId: job.id,
			after: 0,
			signal: AbortSignal.any([options.signal, AbortSignal.timeout(options.seconds * 1000)]),
			row: () =>
				idempotent(
					() => workspaceOf(c.env, ws),
					(stub) => stub.getJob(job.id),
				),
			onFrame: (frame) => {
				state = advance(state, frame);
				told.update(state);
			},
		});
	} finally {
		told.stop();
	}
	return state;
};

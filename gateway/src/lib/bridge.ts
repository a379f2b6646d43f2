/**
 * Following a job, the part that talks: a WebSocket to the Pool that survives restarts of the Pool. SSE, `?wait` and the
 * dialects all use it; none of them holds an RPC open.
 * @module
 */
import { isTerminal, shardOfJob, TIMING, type BridgeFrame } from '@limner/shared';
import type { JobRow } from '../rpc.ts';
import { onClosed, onFrame, parseFrame, replayRow, type FollowState } from './bridge-core.ts';
import { isRetryable, poolOf, type Fetches } from './stubs.ts';

export interface FollowInput {
	env: Cloudflare.Env;
	ws: string;
	jobId: string;
	/** Last revision that the caller has. */
	after: number;
	/** Ends the following; the bridge is closed at once. */
	signal: AbortSignal;
	/** The Workspace's row, read when the Pool does not know the job. */
	row: () => Promise<JobRow | null>;
	/** Gets each frame once, in order. */
	onFrame: (frame: BridgeFrame) => void;
}
/** terminal = the job has ended; lost = the Pool could not be followed; aborted = the signal. */
export type FollowEnd = 'terminal' | 'lost' | 'aborted';

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
	new Promise((resolve) => {
		const timer = setTimeout(resolve, ms);
		signal.addEventListener(
			'abort',
			() => {
				clearTimeout(timer);
				resolve();
			},
			{ once: true },
		);
	});

type Opened = { kind: 'open'; socket: WebSocket } | { kind: 'unknown' } | { kind: 'failed' };

const open = async (stub: Fetches, input: FollowInput, after: number): Promise<Opened> => {
	const query = new URLSearchParams({ job: input.jobId, after: String(after), ws: input.ws });
	try {
		const response = await stub.fetch(`https://pool/watch?${query.toString()}`, { headers: { Upgrade: 'websocket' } });
		if (response.webSocket !== null) return { kind: 'open', socket: response.webSocket };
		return { kind: response.status === 404 ? 'unknown' : 'failed' };
	} catch (error) {
		if (isRetryable(error)) return { kind: 'failed' };
		throw error;
	}
};

/** Reads one bridge until it closes. Answers true when the terminal event came. */
const readBridge = (socket: WebSocket, input: FollowInput, state: { now: FollowState }): Promise<boolean> =>
	new Promise((resolve) => {
		let ended = false;
		const finish = (terminal: boolean): void => {
			if (ended) return;
			ended = true;
			clearInterval(ping);
			input.signal.removeEventListener('abort', stop);
			socket.close(1000, terminal ? 'done' : 'closed');
			resolve(terminal);
		};
		const stop = (): void => finish(false);
		// Keeps the bridge from being dropped as idle; the Pool answers it without waking up.
		const ping = setInterval(() => socket.send('ping'), TIMING.ssePingBridgeMs);
		input.signal.addEventListener('abort', stop, { once: true });
		socket.addEventListener('message', ({ data }) => {
			const frame = typeof data === 'string' ? parseFrame(data) : undefined;
			if (ended || frame === undefined || frame.event === 'end') return;
			const step = onFrame(state.now, frame);
			state.now = step.state;
			if (step.verdict === 'duplicate') return;
			input.onFrame(frame);
			if (step.verdict === 'terminal') finish(true);
		});
		socket.addEventListener('close', stop);
		socket.addEventListener('error', stop);
		socket.accept();
		if (input.signal.aborted) stop();
	});

/** Replays what the Workspace has of a job that the Pool does not know. Answers whether that was all of it. */
const readRow = async (input: FollowInput, state: { now: FollowState }): Promise<boolean> => {
	const row = await input.row();
	if (row === null) return true;
	for (const frame of replayRow(row, state.now.lastRev)) {
		state.now = onFrame(state.now, frame).state;
		input.onFrame(frame);
	}
	return isTerminal('job', row.state);
};

const attempt = async (input: FollowInput, shard: number, state: { now: FollowState }): Promise<boolean> => {
	const opened = await open(poolOf(input.env, shard), input, state.now.lastRev);
	if (opened.kind === 'open') return readBridge(opened.socket, input, state);
	// Unknown to the Pool: finished and forgotten, or accepted a moment ago and not handed over yet.
	return opened.kind === 'unknown' ? readRow(input, state) : false;
};

/** Follows a job until its terminal event. Frames after `input.after` arrive once each. */
export const followJob = async (input: FollowInput): Promise<FollowEnd> => {
	const shard = shardOfJob(input.jobId) ?? 0;
	const state = { now: { lastRev: input.after, tries: 0 } };
	for (;;) {
		if (input.signal.aborted) return 'aborted';
		if (await attempt(input, shard, state)) return 'terminal';
		if (input.signal.aborted) return 'aborted';
		const next = onClosed(state.now, Math.random());
		state.now = next.state;
		if (next.pauseMs === undefined) return 'lost';
		await pause(next.pauseMs, input.signal);
	}
};

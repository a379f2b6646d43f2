/**
 * What can happen to a pool, what is answered, and what it does: events, replies and effects of `step()`.
 * @module
 */
import type { BridgeFrame, GatewayFrame, JobState, NodeFrame, NodeMode, PreviewHeader, QueueView, Result } from '@limner/shared';
import type { CompleteInput, CompleteOutcome, NodeView, PoolJob, PoolTaskView, ReportInput, Settlement } from '../rpc.ts';
import type { Job, PoolNode } from './entities.ts';

export interface NodeIdentity {
	nodeId: string;
	ws: string;
	trust: 'own' | 'shared';
	name: string;
	labels?: string[];
	/** Waits for an operator's approval. */
	pending?: boolean;
	keyVersion?: number;
}

export type HelloFrame = Extract<NodeFrame, { t: 'hello' }>;
/** Frames that the core handles after `hello`. */
export type WorkFrame = Exclude<NodeFrame, HelloFrame>;

export interface EventMap {
	enqueue: { job: PoolJob; notAfter: number };
	/** A whole graph in one commit. */
	enqueueAll: { jobs: PoolJob[]; notAfter: number };
	cancel: { ws: string; jobId: string; who: string; subtree?: boolean };
	/** 0..9; for what still waits. */
	prioritize: { ws: string; jobId: string; priority: number; who: string };
	complete: { input: CompleteInput };
	report: { input: ReportInput };
	refused: { jobId: string; ws: string; index: number; epoch: number; nodeId: string; reason: string; final?: true };
	connect: { connId: string };
	/** The signature was checked by the shell. */
	hello: { connId: string; identity: NodeIdentity; frame: HelloFrame };
	frame: { connId: string; frame: WorkFrame };
	preview: { connId: string; header: PreviewHeader; base64: string };
	badFrame: { connId: string; known: boolean };
	closed: { connId: string };
	setMode: { ws: string; nodeId: string; mode: NodeMode; reason: string; now?: boolean };
	resize: { ws: string; nodeId: string; slots: number };
	move: { ws: string; nodeId: string; shard: number };
	initialize: { ws: string; size: number; who: string };
	shutdown: { ws: string; now: boolean; who: string };
	failAgent: { ws: string; agentId: string; reason: string; who: string };
	watch: { ws: string; jobId: string; after: number; watcher: string };
	unwatch: { jobId: string };
	settled: { ws: string; jobIds: string[] };
	settleFailed: { ws: string; jobIds: string[] };
	/** The alarm, or a short timer of the shell: do whatever is due. */
	tick: object;
}
export type EventType = keyof EventMap;
export type PoolEvent = { [T in EventType]: { t: T } & EventMap[T] }[EventType];

export interface Replies {
	enqueue: Result<{ queue: QueueView }>;
	enqueueAll: Result<object>;
	cancel: Result<{ state: JobState }>;
	/** The priority before. */
	prioritize: Result<{ before: number }>;
	/** `unknown` = ask the Workspace. */
	complete: CompleteOutcome | 'unknown';
	report: CompleteOutcome | 'unknown';
	setMode: Result<{ node: NodeView }>;
	resize: Result<{ node: NodeView }>;
	move: Result<{ node: NodeView }>;
	initialize: Result<{ nodes: NodeView[] }>;
	shutdown: Result<{ nodes: NodeView[] }>;
	failAgent: Result<{ node: NodeView; task?: PoolTaskView }>;
	watch: boolean;
}
export type ReplyOf<T extends EventType> = T extends keyof Replies ? Replies[T] : undefined;

export type Send =
	| { kind: 'frame'; connId: string; frame: GatewayFrame }
	/** The shell adds the signed ticket and input URLs: the core knows no secret. */
	| {
			kind: 'task';
			connId: string;
			job: Job;
			index: number;
			epoch: number;
			slotId: string;
			leaseMs: number;
			watched: boolean;
			/** MIGRATION: where the model came from. */
			source?: string;
			/** More pictures of one shape for the same slot. */
			batch?: BatchMate[];
	  }
	/** The shell signs the certificate for the other shard. */
	| { kind: 'move'; connId: string; shard: number }
	| { kind: 'close'; connId: string; code: number; reason: string }
	/** To everybody who watches the job. */
	| { kind: 'watch'; jobId: string; frame: BridgeFrame }
	| { kind: 'endWatch'; jobId: string }
	/** To one watcher. */
	| { kind: 'bridge'; watcher: string; frame: BridgeFrame }
	| { kind: 'endBridge'; watcher: string }
	| { kind: 'settle'; ws: string; batch: Settlement[] };

export interface BatchMate {
	job: Job;
	index: number;
	epoch: number;
	watched: boolean;
}

export interface Writes {
	/** Rows to write as they are after the step: each at most once, however often the step touched it. */
	jobs: Set<Job>;
	deleted: string[];
	nodes: Set<PoolNode>;
	/** Workspaces whose pool settings changed. */
	pools: Set<string>;
}

export interface StepResult<R = unknown> {
	writes: Writes;
	sends: Send[];
	/** The alarm must stand at this time or earlier. */
	wakeAt: number | undefined;
	/** A short in-memory timer is enough for this. */
	pokeAt: number | undefined;
	reply: R;
}

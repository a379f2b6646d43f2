/**
 * State, events and effects of the pool's pure core. `step()` in core.ts turns an event into effects; nothing in this
 * folder but pool.ts, store.ts and sockets.ts touches a clock, storage or a socket.
 * @module
 */
import { CHORE_SLOT } from '@limner/shared';
import type {
	BridgeFrame,
	FailureClass,
	GatewayFrame,
	GpuReading,
	HistEntry,
	ImageRecord,
	Isolation,
	JobError,
	JobSpec,
	JobState,
	ModelInfo,
	NodeFrame,
	NodeMode,
	PreviewHeader,
	QueueView,
	Result,
	SlotInfo,
	TaskPhase,
	TaskState,
	TaskType,
} from '@limner/shared';
import type { CompleteInput, CompleteOutcome, NodeView, PoolJob, PoolTaskView, ReportInput, Settlement } from '../rpc.ts';
import type { Lanes } from './lanes.ts';
import type { Ordered } from './ordered.ts';
import type { Timers } from './timers.ts';

/** What is known of a grant while it runs. In memory only: a rebuilt pool assumes the best and waits for the node. */
export interface TaskRun {
	acked: boolean;
	/** The holder must answer by then, on the gateway's clock; null once it did. */
	ackBy: number | null;
	leaseUntil: number;
	lastStepAt: number;
	phase: TaskPhase;
	step: number;
	steps: number;
	fraction?: number;
	itPerS?: number;
	/** The picture exists and is on its way: the slot is free. */
	generated: boolean;
	/** The holder is out of reach; the task may be granted again from this time on. */
	orphanAt: number | null;
	/** A re-grant counts as a loss. A grant that no node ever answered says nothing against the task. */
	lossCounts: boolean;
}

export interface TaskFailure {
	class: FailureClass;
	message: string;
	nodeId?: string;
	/** Memory of the slot that failed, in bytes: an `oom` is only tried again where there is more. */
	memory?: number;
}

export interface Task {
	index: number;
	state: TaskState;
	epoch: number;
	nodeId: string | null;
	slotId: string | null;
	grantedAt: number;
	leaseMs: number;
	/** Times that a holder vanished with it. */
	losses: number;
	fails: TaskFailure[];
	image: ImageRecord | null;
	/** Key of the report, for a task whose result is one; the report itself stands in the history. */
	report: string | null;
	run: TaskRun | null;
	/** Stands in its workspace's queue. An orphaned task is `leased` and queued at once: its holder may still return. */
	queued: boolean;
	/** Not granted again to a node that failed it before this time. */
	retryAt: number;
	/** Since when it waits for a slot. In memory only. */
	readyAt: number;
}

/** A job that another one waits for. `open` = not over yet, or not handed over yet. */
export interface Dependency {
	id: string;
	state: 'open' | JobState;
}

export interface Job {
	id: string;
	ws: string;
	weight: number;
	keyId: string;
	spec: JobSpec;
	createdAt: number;
	startedAt: number | null;
	finishedAt: number | null;
	state: JobState;
	rev: number;
	tasks: Task[];
	hist: HistEntry[];
	warnings: string[];
	error: JobError | null;
	traceId: string | null;
	retryOf: string | null;
	/** Virtual finish tag of its last grant (start-time fair queueing). */
	ftag: number;
	deps: Dependency[];
	/** Keys of input pictures that came from other jobs. */
	inputs: { init?: string; mask?: string };
}

export interface NodeError {
	at: number;
	class: FailureClass;
	message: string;
	jobId: string;
	model?: string;
}

/** Counts and averages of one kind of work on one node. */
export interface WorkStat {
	ok: number;
	failed: number;
	lost: number;
	sPerMpStep?: number;
	sPerStep?: number;
	loadMs?: number;
	assignMs?: number;
	at: number;
}

export interface SlotStat {
	ok: number;
	failed: number;
	lost: number;
	error?: NodeError;
}

export interface Conn {
	id: string;
	bootId: string;
	at: number;
	lastFrameAt: number;
}

export interface Slot {
	node: PoolNode;
	info: SlotInfo;
	/** Key of the task that holds it; of a batch, one of them. */
	grant: string | null;
	/** Keys of all tasks that it works on. */
	batch: Set<string>;
	/** A cancelled task that may still be stopping, until this time at most. */
	stopping: { key: string; epoch: number; until: number } | null;
}

/** What a task used, as its node told. */
export interface IsolationRecord extends Isolation {
	nodeId: string;
	bootId: string;
	/** Workspace of the job. */
	ws: string;
	jobId: string;
	index: number;
	epoch: number;
	slotId: string;
}

/** A reading that a node sent, on the gateway's clock. */
export interface TelemetrySample {
	at: number;
	rssBytes?: number;
	/** 0..1, of the whole machine. */
	cpuUtil?: number;
	diskFreeBytes?: number;
	gpus?: GpuReading[];
}

export interface PoolNode {
	labels: string[];
	/** Number of the newest key that it has shown. */
	keyVersion: number;
	/** Newest last. */
	telemetry: TelemetrySample[];
	/** What its last tasks used, newest last. */
	isolation: IsolationRecord[];
	id: string;
	name: string;
	ws: string;
	trust: 'own' | 'shared';
	mode: NodeMode;
	modeReason: string | null;
	agentVersion: string;
	platform: string;
	models: ModelInfo[];
	diskFreeBytes: number | null;
	memoryBytes: number | null;
	completed: number;
	failed: number;
	recentErrors: NodeError[];
	/** What it does besides pictures. */
	taskTypes: TaskType[];
	/** Does tasks that need no device; null when the node offers none. */
	service: Slot | null;
	/** Number of slots that its owner asked for. */
	wantedSlots: number | null;
	/** It was sent to this shard. */
	movedTo: number | null;
	/** What it has done, by `taskType|model`. */
	work: Record<string, WorkStat>;
	slotStats: Record<string, SlotStat>;
	/** Hash of its canary picture, by model and device. */
	canaries: Record<string, string>;
	/** Measured seconds per megapixel-step and load times, by `slotId|model`. */
	speed: Record<string, { sPerMpStep: number; loadMs: number }>;
	lastSeenAt: number | null;
	conn: Conn | null;
	slots: Map<string, Slot>;
	/** Keys of leased tasks whose holder it is. */
	grants: Set<string>;
	/** Did not answer a grant: gets nothing before this time. */
	excludedUntil: number;
	statusText: string;
	statusAt: number;
	/** When the row was last written, and when that was for what it has done. */
	savedAt: number;
	historyAt: number;
	dirty: boolean;
}

/** A settled job whose row is still kept. */
export interface Settled {
	ws: string;
	ackedAt: number;
	/** How it ended and what it made: a job that depends on it may come later. */
	state: JobState;
	images: { index: number; key: string }[];
}

/** What a workspace's operator wants of its pool. */
export interface PoolConfig {
	state: 'ready' | 'shut';
	size: number | null;
	at: number;
	who: string;
}

/** The source of models could not be reached; who needs it waits. */
export interface SourceTrouble {
	reason: string;
	since: number;
	retryAt: number;
	tries: number;
}

export interface Outbox {
	/** Finished jobs that the Workspace has not acknowledged. */
	ids: Set<string>;
	/** Sent and not yet answered. */
	inFlight: Set<string>;
	flushAt: number;
	tries: number;
}

export interface QueueItem {
	job: Job;
	task: Task;
	/** Smaller = earlier. */
	score: number;
}

/** Who refuses a task, and who could take it. */
export interface Tally {
	refusals: Record<string, number>;
	feasible: boolean;
	/** Slots that could take it, now or later. */
	slots: Slot[];
	nodes: number;
}

export interface Watched {
	count: number;
	/** Volatile frames that wait for the next flush; the latest of each kind wins. */
	pending: Map<string, BridgeFrame>;
	sentAt: number;
	lastQueue: string;
	queueAt: number;
}

export interface Counters {
	granted: number;
	completed: number;
	failed: number;
	requeued: number;
	staleResults: number;
	unknownFrames: number;
	badFrames: number;
	handoffs: number;
	handoffsMet: number;
	prefetches: number;
}

/** Readings of the outside that the core asks for instead of taking them itself. */
export interface Readings {
	/** When the runtime last answered a heartbeat of this connection; null before the first. */
	pingAt(connId: string): number | null;
}

export interface PoolState {
	jobs: Map<string, Job>;
	settled: Map<string, Settled>;
	nodes: Map<string, PoolNode>;
	/** Accepted sockets that have not said hello: connection id → when to give up. */
	pending: Map<string, number>;
	connNode: Map<string, string>;
	/** Waiting tasks by workspace. */
	queues: Map<string, Ordered<QueueItem>>;
	/** Number of queued tasks in `queues`. */
	backlog: number;
	/** Tasks that wait for a node, not for a device; by task key. */
	chores: Map<string, QueueItem>;
	/** Free service slots. */
	service: Set<Slot>;
	/** Live jobs by a job that they depend on. */
	dependents: Map<string, Set<string>>;
	source: SourceTrouble | null;
	pools: Map<string, PoolConfig>;
	/** When a node was last asked to fetch a model, by model. */
	prefetchedAt: Map<string, number>;
	prefetchLookAt: number;
	free: Set<Slot>;
	/** Free slots that no decision looks at for a moment, because their node is silent or did not answer. */
	aside: Set<Slot>;
	/** Waiting tasks and free slots, arranged so that the next grant is found at once. */
	lanes: Lanes;
	/** Refusals of large pools, by need, for a moment. */
	tallies: Map<string, { at: number; tally: Tally }>;
	/** Idle nodes of a large pool are not looked through before this time. */
	idleLookAt: number;
	fair: { v: number; f: Map<string, number> };
	outbox: Map<string, Outbox>;
	watched: Map<string, Watched>;
	timers: Timers;
	/** Settle batches by workspace, and rows of nodes by id: when they are due. Not worth an alarm. */
	flushes: Timers;
	saves: Timers;
	/** When volatile frames are due; not worth an alarm either. */
	pokeAt: number;
	dispatchMs: number[];
	counters: Counters;
	readings: Readings;
}

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

/** What handlers work on. */
export interface Ctx {
	state: PoolState;
	now: number;
	writes: Writes;
	sends: Send[];
	/** Queue or free slots changed: match them at the end of the step. */
	match: boolean;
}

/** What the job asks of a node. */
export const typeOf = (job: Pick<Job, 'spec'>): TaskType => job.spec.taskType ?? 'GENERAL';

/** Slot of a node by its name; the one for tasks that need no device has a name of its own. */
export const slotNamed = (node: PoolNode, id: string): Slot | undefined =>
	id === CHORE_SLOT ? (node.service ?? undefined) : node.slots.get(id);

export const taskKey = (jobId: string, index: number): string => `${jobId}/${index}`;

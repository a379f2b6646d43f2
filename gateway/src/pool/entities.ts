/**
 * What the pool knows of tasks, jobs, slots and nodes.
 * @module
 */
import type {
	BridgeFrame,
	FailureClass,
	GpuReading,
	HistEntry,
	ImageRecord,
	Isolation,
	JobError,
	JobSpec,
	JobState,
	ModelInfo,
	NodeMode,
	SlotInfo,
	TaskPhase,
	TaskState,
	TaskType,
} from '@limner/shared';
import type { PenKeys } from './pens.ts';

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
	/** No sign that it draws badly: it does not count towards draining the node. */
	harmless?: true;
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
	/** Its owner lets it fetch models that the pool asks for. */
	autoPull: boolean;
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
	/** Where its free slots stand. */
	penKeys: PenKeys | null;
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
	/** Equal for tasks that the same nodes refuse. */
	need: string;
	/** Key of the lane in which it stands. */
	lane: string;
	/** Equal for tasks that a slot can make together; made when it is first asked for. */
	shape?: string;
}

/** Who refuses a task, and who could take it. */
export interface Tally {
	refusals: Record<string, number>;
	feasible: boolean;
	/** Some of the slots that could take it, now or later, and how many there are. */
	slots: Slot[];
	slotCount: number;
	nodes: number;
}

/** What whoever waits for the same is told, but for the place in the queue. */
export interface Answer {
	at: number;
	/** Of the census when it was asked. */
	shape: number;
	tally: Tally;
	reason: string;
	remedies: string[];
	/** Mean milliseconds of a picture by its size and steps; null = nobody has measured. */
	paces: Map<string, number | null>;
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

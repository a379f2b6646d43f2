/**
 * Node protocol v1 (design §6): JSON text frames `{t, …}` on `/api/v1/nodes/connect`, subprotocol `limner.v1`.
 * Unknown fields are kept, unknown types are ignored and counted, so that both sides can be one version apart.
 * @module
 */
import { z } from 'zod';
import { NODE_ID_PATTERN } from './ids.ts';
import { FailureClass, JobSpec, TaskPhase } from './jobs.ts';
import { NODE_LIMITS } from './limits.ts';
import { ModelInfo } from './models.ts';
import { TaskType } from './task-types.ts';

export const SUBPROTOCOL = 'limner.v1';
export const PROTOCOL_VERSION = 1;
/** Exact texts of the heartbeat: the runtime answers them without waking the Durable Object. */
export const PING_TEXT = 'ping';
export const PONG_TEXT = 'pong';

/** Close codes the gateway uses. */
export const CLOSE = {
	normal: 1000,
	badFrame: 4400,
	unauthorized: 4401,
	banned: 4403,
	helloTimeout: 4408,
	silent: 4408,
	replaced: 4409,
	outdated: 4426,
	restarting: 4503,
} as const;

/** A grant's identity: everything a node says about a task carries it. */
export const GrantRef = z.looseObject({ jobId: z.string(), index: z.int().min(0), epoch: z.int().min(1) });
export type GrantRef = z.infer<typeof GrantRef>;
const grantRef = { jobId: z.string(), index: z.int().min(0), epoch: z.int().min(1) };

export const Device = z.looseObject({
	kind: z.enum(['cpu', 'cuda', 'coreml', 'webgpu', 'dml', 'tensorrt', 'mock']),
	name: z.string().max(200),
	memoryBytes: z.number().int().nonnegative().optional(),
});
export type Device = z.infer<typeof Device>;

export const SlotInfo = z.looseObject({
	id: z.string().min(1).max(NODE_LIMITS.nameChars),
	device: Device,
	engine: z.string().max(NODE_LIMITS.nameChars),
	/** Pictures of one shape (`batchKey`) that one `task` frame may carry. */
	maxBatch: z.int().min(1).max(NODE_LIMITS.batchMax).default(1),
	/** Pixels of all pictures of a batch together; no bound but `maxBatch` where absent. A single picture is always taken. */
	maxBatchPx: z.number().positive().optional(),
	/** A model that is loaded in this slot now. */
	loaded: z.string().optional(),
	/** Other models that it still holds in memory: they need no loading either. */
	warm: z.array(z.string()).max(NODE_LIMITS.modelsMax).optional(),
});
export type SlotInfo = z.infer<typeof SlotInfo>;

export const Hello = z.looseObject({
	t: z.literal('hello'),
	v: z.int(),
	nodeId: z.string().regex(NODE_ID_PATTERN),
	connId: z.string(),
	/** Changes with every start of the process: tells a reconnect from a restart. */
	bootId: z.string().min(1).max(64),
	/** base64url Ed25519 signature over `helloMessage(nonce, nodeId, connId)`. */
	sig: z.string(),
	name: z.string().min(1).max(NODE_LIMITS.nameChars),
	agentVersion: z.string().max(64),
	platform: z.string().max(64),
	slots: z.array(SlotInfo).min(1).max(NODE_LIMITS.slotsMax),
	models: z.array(ModelInfo).max(NODE_LIMITS.modelsMax),
	diskFreeBytes: z.number().nonnegative().optional(),
	memoryBytes: z.number().nonnegative().optional(),
	/** What it does besides pictures. A node that says nothing does nothing else. */
	taskTypes: z.array(TaskType).max(16).optional(),
	/** Whether it takes `prefetch` hints. A node that says nothing may. */
	autoPull: z.boolean().optional(),
	/** Grants that a slot is working on now. */
	running: z.array(GrantRef.extend({ slotId: z.string() })),
	/** Grants whose picture waits in the outbox for its upload. */
	finished: z.array(GrantRef),
});
export type Hello = z.infer<typeof Hello>;

export const Ack = z.looseObject({ t: z.literal('ack'), ...grantRef, slotId: z.string() });
export const ProgressItem = z.looseObject({
	...grantRef,
	phase: TaskPhase,
	step: z.int().min(0),
	steps: z.int().min(0),
	/** 0..1 within downloading or loading. */
	fraction: z.number().min(0).max(1).optional(),
	itPerS: z.number().nonnegative().optional(),
});
export type ProgressItem = z.infer<typeof ProgressItem>;
export const Progress = z.looseObject({
	t: z.literal('progress'),
	items: z.array(ProgressItem).max(NODE_LIMITS.slotsMax * NODE_LIMITS.batchMax),
});
/** What a task used on its node, on the node's own clock: for the isolation report. */
export const Isolation = z.looseObject({
	/** Engine process; absent when it had gone. */
	pid: z.int().optional(),
	/** Name of its temporary folder. */
	folder: z.string().max(200),
	startedMs: z.number(),
	endedMs: z.number(),
	/** Files that could not be wiped. */
	leftovers: z.int().min(0),
	/** Names the pictures that the slot began with it in one turn. */
	batch: z.string().max(100).optional(),
});
export type Isolation = z.infer<typeof Isolation>;

/** The picture exists; the slot is free while the upload goes on. */
export const Generated = z.looseObject({
	t: z.literal('generated'),
	...grantRef,
	slotId: z.string(),
	/** Model load and denoising time, for the scheduler's estimates. Of a batch: this picture's share of the denoising time. */
	loadMs: z.number().nonnegative().optional(),
	denoiseMs: z.number().nonnegative().optional(),
	totalMs: z.number().nonnegative(),
	isolation: Isolation.optional(),
});
export const Failed = z.looseObject({
	t: z.literal('failed'),
	...grantRef,
	slotId: z.string().optional(),
	class: FailureClass,
	message: z.string().max(500),
	/** What was missing outside the node: the task waits for it, and no attempt is counted. */
	need: z.enum(['model-source']).optional(),
	/** Whose fault it was, if not the node's: the gateway could not give it an input. The attempt counts, but not against the node. */
	fault: z.enum(['gateway']).optional().catch(undefined),
	isolation: Isolation.optional(),
});
/** One graphics card as its driver tells. */
export const GpuReading = z.looseObject({
	name: z.string().max(200).optional(),
	/** 0..1 */
	util: z.number().min(0).max(1).optional(),
	memUsedBytes: z.number().nonnegative().optional(),
	memTotalBytes: z.number().nonnegative().optional(),
	tempC: z.number().optional(),
	powerW: z.number().nonnegative().optional(),
});
export type GpuReading = z.infer<typeof GpuReading>;
export const Telemetry = z.looseObject({
	t: z.literal('telemetry'),
	rssBytes: z.number().nonnegative().optional(),
	diskFreeBytes: z.number().nonnegative().optional(),
	cpuUtil: z.number().min(0).max(1).optional(),
	gpus: z.array(GpuReading).max(NODE_LIMITS.slotsMax).optional(),
	models: z.array(ModelInfo).max(NODE_LIMITS.modelsMax).optional(),
	slots: z.array(SlotInfo).max(NODE_LIMITS.slotsMax).optional(),
});
/** A clean goodbye: what still runs is listed and may be granted again at once. */
export const Bye = z.looseObject({ t: z.literal('bye'), reason: z.string().max(200), abandoned: z.array(GrantRef).default([]) });

export const NodeFrame = z.discriminatedUnion('t', [Hello, Ack, Progress, Generated, Failed, Telemetry, Bye]);
export type NodeFrame = z.infer<typeof NodeFrame>;

export const Challenge = z.looseObject({ t: z.literal('challenge'), nonce: z.string(), connId: z.string() });
export const Welcome = z.looseObject({
	t: z.literal('welcome'),
	nodeId: z.string(),
	connId: z.string(),
	minVersion: z.int(),
	mode: z.enum(['active', 'draining', 'paused', 'terminated']),
	config: z.looseObject({ pingMs: z.number(), progressMs: z.number(), watchProgressMs: z.number(), telemetryMs: z.number() }),
	/** Grants of `hello` that are still this node's. */
	keep: z.array(GrantRef),
	/** Grants of `hello` to stop and forget. */
	drop: z.array(GrantRef),
});
export const TaskInput = z.looseObject({
	role: z.enum(['init', 'mask']),
	/** Absolute path on the gateway, signed and expiring. */
	url: z.string(),
});
/** One more picture of a batch; what it shares with the first one stands in the frame. */
export const BatchTask = z.looseObject({
	...grantRef,
	/** Spec of the job; that of the frame where absent, for pictures of the same job. */
	spec: JobSpec.optional(),
	seed: z.int(),
	ticket: z.string(),
	inputs: z.array(TaskInput),
	/** As in the frame. */
	upload: z.literal('direct').optional(),
	traceId: z.string().optional(),
	watched: z.boolean().optional(),
});
export type BatchTask = z.infer<typeof BatchTask>;

/**
 * A grant. With `batch` it is a grant of several pictures that the slot makes in one go: each has its own epoch, ticket and
 * inputs, gets its own `ack`, `progress`, `generated` or `failed`, and can be cancelled alone, which leaves the others as
 * they are. All have the same `batchKey`; `leaseMs` covers all of them. The slot is free when the last one has ended. Only
 * slots whose `maxBatch` is above 1 get `batch`, with at most `maxBatch` − 1 entries. A grant of it that was lost is granted
 * again like any other, alone or with others.
 */
export const Task = z.looseObject({
	t: z.literal('task'),
	...grantRef,
	slotId: z.string(),
	/** Duration from receipt; progress extends it. */
	leaseMs: z.number().positive(),
	/** Spec of the job; this task's own seed is `seed`. */
	spec: JobSpec,
	seed: z.int(),
	/** `PUT /api/v1/results/{ticket}` with the picture's bytes. */
	ticket: z.string(),
	/** The picture may be put into the bucket instead: ask `POST /api/v1/results/{ticket}/url`. A node that does not know it just sends the PUT. */
	upload: z.literal('direct').optional(),
	inputs: z.array(TaskInput),
	traceId: z.string().optional(),
	/** Somebody watches this job: send progress fast, and previews. */
	watched: z.boolean().optional(),
	/** More pictures for the same slot, made together with the first. */
	batch: z
		.array(BatchTask)
		.min(1)
		.max(NODE_LIMITS.batchMax - 1)
		.optional(),
});
export type Task = z.infer<typeof Task>;
export const Cancel = z.looseObject({ t: z.literal('cancel'), ...grantRef, reason: z.string() });
export const Watch = z.looseObject({ t: z.literal('watch'), jobId: z.string(), on: z.boolean() });
export const Mode = z.looseObject({
	t: z.literal('mode'),
	mode: z.enum(['active', 'draining', 'paused', 'terminated']),
	reason: z.string(),
});
export const Resize = z.looseObject({ t: z.literal('resize'), slots: z.int().min(1).max(NODE_LIMITS.slotsMax) });
export const Move = z.looseObject({ t: z.literal('move'), shard: z.int().min(0), certificate: z.string() });
/** Why this node gets no work now, for its status line. Sent on change only. */
export const Status = z.looseObject({ t: z.literal('status'), text: z.string(), queued: z.int().optional() });

/** A model that will be needed here soon: worth fetching while the node stands idle. A hint, nothing waits for it. */
export const Prefetch = z.looseObject({ t: z.literal('prefetch'), model: z.string(), source: z.string() });

export const GatewayFrame = z.discriminatedUnion('t', [Challenge, Welcome, Task, Cancel, Watch, Mode, Resize, Move, Status, Prefetch]);
export type GatewayFrame = z.infer<typeof GatewayFrame>;

/** What a node signs in `hello`: bound to the challenge and to this connection, so that it cannot be replayed. */
export const helloMessage = (nonce: string, nodeId: string, connId: string): string => `limner.v1|${nonce}|${nodeId}|${connId}`;

/** What the old key signs when a node changes its key: bound to the node, the new key and a moment. */
export const rotateMessage = (nodeId: string, newPublicKey: string, atMs: number): string =>
	`limner.v1|rotate|${nodeId}|${newPublicKey}|${atMs}`;

export type ParsedFrame<F> = { kind: 'frame'; frame: F } | { kind: 'unknown'; type: string } | { kind: 'bad'; detail: string };

const parseWith = <F>(schema: z.ZodType<F>, types: ReadonlySet<string>, textFrame: string): ParsedFrame<F> => {
	let value: unknown;
	try {
		value = JSON.parse(textFrame);
	} catch {
		return { kind: 'bad', detail: 'not JSON' };
	}
	const type = typeof value === 'object' && value !== null && 't' in value ? value.t : undefined;
	if (typeof type !== 'string') return { kind: 'bad', detail: 'no type' };
	if (!types.has(type)) return { kind: 'unknown', type };
	const result = schema.safeParse(value);
	if (result.success) return { kind: 'frame', frame: result.data };
	const issue = result.error.issues[0];
	return { kind: 'bad', detail: `${type}: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`.trim() };
};

const NODE_TYPES: ReadonlySet<string> = new Set(NodeFrame.options.map((option) => option.shape.t.value));
const GATEWAY_TYPES: ReadonlySet<string> = new Set(GatewayFrame.options.map((option) => option.shape.t.value));

/** Reads a frame that a node sent. */
export const parseNodeFrame = (textFrame: string): ParsedFrame<NodeFrame> => parseWith(NodeFrame, NODE_TYPES, textFrame);
/** Reads a frame that the gateway sent. */
export const parseGatewayFrame = (textFrame: string): ParsedFrame<GatewayFrame> => parseWith(GatewayFrame, GATEWAY_TYPES, textFrame);

/** Header of a binary preview frame; the picture's bytes (JPEG or WebP) follow it. */
export const PreviewHeader = z.looseObject({ ...grantRef, step: z.int(), contentType: z.enum(['image/jpeg', 'image/webp']) });
export type PreviewHeader = z.infer<typeof PreviewHeader>;

/** Binary preview frame: u32 little-endian header length, JSON header, picture bytes. */
export const encodePreview = (header: PreviewHeader, image: Uint8Array): Uint8Array => {
	const json = new TextEncoder().encode(JSON.stringify(header));
	const out = new Uint8Array(4 + json.length + image.length);
	new DataView(out.buffer).setUint32(0, json.length, true);
	out.set(json, 4);
	out.set(image, 4 + json.length);
	return out;
};

/** Reads a binary preview frame, or answers `undefined` when it is malformed or too large. */
export const decodePreview = (frame: Uint8Array): { header: PreviewHeader; image: Uint8Array } | undefined => {
	if (frame.length < 4 || frame.length > NODE_LIMITS.previewBytes) return undefined;
	const length = new DataView(frame.buffer, frame.byteOffset, frame.length).getUint32(0, true);
	if (length > frame.length - 4) return undefined;
	try {
		const header = PreviewHeader.safeParse(JSON.parse(new TextDecoder().decode(frame.subarray(4, 4 + length))));
		return header.success ? { header: header.data, image: frame.subarray(4 + length) } : undefined;
	} catch {
		return undefined;
	}
};

/**
 * The Pool Durable Object: one shard. A thin shell that turns calls, frames and alarms into events of the pure core
 * and applies what the core answers in one synchronous block, which is one commit.
 * @module
 */
import { DurableObject } from 'cloudflare:workers';
import {
	CLOSE,
	NODE_LIMITS,
	PING_TEXT,
	PONG_TEXT,
	SUBPROTOCOL,
	decodePreview,
	isJobId,
	parseNodeFrame,
	refuse,
	type ModelInfo,
	type NodeMode,
	type QueueView,
	type Result,
	type JobState,
	type TaskType,
} from '@limner/shared';
import { createLogger, describeError, type Logger } from '../lib/log.ts';
import { withTimeout } from '../lib/timeout.ts';
import type {
	IsolationRecord,
	CompleteInput,
	CompleteOutcome,
	LiveJob,
	ModelHistory,
	NodeView,
	Page,
	PoolJob,
	PoolMetrics,
	PoolOverview,
	PoolRpc,
	PoolTaskView,
	ReportInput,
	Settlement,
	WorkspaceRpc,
} from '../rpc.ts';
import { step } from './core.ts';
import type { EventMap, EventType, Job, PoolState, ReplyOf, StepResult } from './model.ts';
import { rebuild } from './rows.ts';
import { packJob, packNode, unpackJob } from './pack.ts';
import { attachmentOf, closeQuietly, helloIsGenuine, identityOf, readCertificate, type NodeAttachment } from './sockets.ts';
import { Store } from './store.ts';
import { liveJob, metricsOf, modelsFor, nodeView, overviewOf, poolTasks } from './views.ts';
import { replayOnly } from './watching.ts';
import { offersDirect } from '../storage/index.ts';
import { Wire } from './wire.ts';
import { modelHistory } from './workstats.ts';

/** The alarm never stands closer than this, so that a deadline that keeps moving cannot spin. */
const ALARM_FLOOR_MS = 1000;
/** Nor does the short timer spin. */
const POKE_FLOOR_MS = 20;
const VIEWS_MAX = 200;
/** A Workspace that has not answered for this long is told again: one batch at a time, so a lost one would block the rest. */
const SETTLE_CALL_MS = 30_000;

export class Pool extends DurableObject<Env> implements PoolRpc {
	readonly #store: Store;
	readonly #wire: Wire;
	readonly #state: PoolState;
	readonly #log: Logger;
	readonly #wakeups = { frame: 0, call: 0, alarm: 0, construct: 1 };
	/** When the alarm stands; null = it does not. */
	#alarmAt: number | null = null;
	#pokeAt: number | null = null;
	#poke: ReturnType<typeof setTimeout> | undefined;

	constructor(ctx: DurableObjectState, env: Env) {
		super(ctx, env);
		const now = Date.now();
		// What a shard does by itself belongs to no request, so its lines carry a word instead of a trace.
		this.#log = createLogger(env.LOG_LEVEL, { traceId: 'pool' }, (line) => console.error(line));
		ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING_TEXT, PONG_TEXT));
		this.#store = new Store(ctx.storage);
		this.#store.migrate(now);
		this.#wire = new Wire(ctx, env.LIMNER_SECRET, offersDirect(env));
		this.#state = rebuild(this.#store.load(), this.#wire.survivors, now, { pingAt: (connId) => this.#wire.pingAt(connId) });
		this.#wire.dropOldBridges((jobId) => this.#state.watched.has(jobId));
		// A past alarm cannot be trusted to fire: an instance that died in it has used it up.
		void ctx.blockConcurrencyWhile(async () => {
			const at = await ctx.storage.getAlarm();
			this.#alarmAt = at !== null && at > now ? at : null;
			this.#run('tick', {});
		});
	}

	// ---- calls ----

	async enqueue(job: PoolJob, notAfter: number): Promise<Result<{ queue: QueueView }>> {
		return this.#call('enqueue', { job, notAfter });
	}

	async enqueueAll(jobs: PoolJob[], notAfter: number): Promise<Result<object>> {
		return this.#call('enqueueAll', { jobs, notAfter });
	}

	async cancel(ws: string, jobId: string, who: string, subtree = false): Promise<Result<{ state: JobState }>> {
		if (!isJobId(jobId)) return refuse('not_found', 'There is no such job.');
		const over = this.#settledJob(jobId);
		if (over !== undefined && over.ws === ws && !subtree) return { ok: true, state: over.state };
		const answer = this.#call('cancel', { ws, jobId, who, subtree });
		return over !== undefined && over.ws === ws ? { ok: true, state: over.state } : answer;
	}

	async prioritize(ws: string, jobId: string, priority: number, who: string): Promise<Result<{ before: number }>> {
		const over = this.#settledJob(jobId);
		if (over !== undefined && over.ws === ws) return refuse('conflict', `The job has already ${over.state}.`);
		return this.#call('prioritize', { ws, jobId, priority, who });
	}

	async known(jobIds: string[]): Promise<string[]> {
		this.#wakeups.call++;
		return jobIds.filter((id) => this.#state.jobs.has(id) || this.#state.settled.has(id));
	}

	async view(ws: string, jobId: string): Promise<LiveJob | null> {
		return (await this.views(ws, [jobId]))[0] ?? null;
	}

	async views(ws: string, jobIds: string[]): Promise<LiveJob[]> {
		this.#wakeups.call++;
		const now = Date.now();
		return jobIds.slice(0, VIEWS_MAX).flatMap((id) => {
			const job = this.#state.jobs.get(id) ?? this.#settledJob(id);
			return job === undefined || job.ws !== ws ? [] : [liveJob(this.#state, now, job)];
		});
	}

	async complete(input: CompleteInput): Promise<CompleteOutcome> {
		const outcome = this.#call('complete', { input });
		if (outcome !== 'unknown') return outcome;
		const over = this.#settledJob(input.jobId);
		if (over !== undefined && over.ws === input.ws && over.tasks.length > 0)
			return over.tasks[input.index]?.image?.key === input.image.key ? 'accepted' : 'stale';
		return this.#askWorkspace(input, input.image.key);
	}

	async report(input: ReportInput): Promise<CompleteOutcome> {
		const outcome = this.#call('report', { input });
		if (outcome !== 'unknown') return outcome;
		const over = this.#settledJob(input.jobId);
		if (over !== undefined && over.ws === input.ws && over.tasks.length > 0)
			return over.tasks[input.index]?.report === input.report.key ? 'accepted' : 'stale';
		return this.#askWorkspace(input, input.report.key);
	}

	async uploadRefused(input: EventMap['refused']): Promise<void> {
		this.#call('refused', input);
	}

	async models(ws: string): Promise<(ModelInfo & { nodes: number })[]> {
		this.#wakeups.call++;
		return modelsFor(this.#state, ws);
	}

	async nodes(ws: string): Promise<NodeView[]> {
		this.#wakeups.call++;
		const now = Date.now();
		return [...this.#state.nodes.values()]
			.filter((node) => node.ws === ws && (node.movedTo === null || node.conn !== null))
			.map((node) => nodeView(this.#state, now, node));
	}

	async setMode(ws: string, nodeId: string, mode: NodeMode, reason: string, now = false): Promise<Result<{ node: NodeView }>> {
		return this.#call('setMode', { ws, nodeId, mode, reason, now });
	}

	async resize(ws: string, nodeId: string, slots: number): Promise<Result<{ node: NodeView }>> {
		return this.#call('resize', { ws, nodeId, slots });
	}

	async move(ws: string, nodeId: string, shard: number): Promise<Result<{ node: NodeView }>> {
		return this.#call('move', { ws, nodeId, shard });
	}

	async initialize(ws: string, size: number, who: string): Promise<Result<{ pool: PoolOverview; nodes: NodeView[] }>> {
		return this.#withOverview(ws, this.#call('initialize', { ws, size, who }));
	}

	async shutdown(ws: string, now: boolean, who: string): Promise<Result<{ pool: PoolOverview; nodes: NodeView[] }>> {
		return this.#withOverview(ws, this.#call('shutdown', { ws, now, who }));
	}

	#withOverview(ws: string, answer: Result<{ nodes: NodeView[] }>): Result<{ pool: PoolOverview; nodes: NodeView[] }> {
		return answer.ok ? { ...answer, pool: overviewOf(this.#state, Date.now(), ws) } : answer;
	}

	async failAgent(ws: string, agentId: string, reason: string, who: string): Promise<Result<{ node: NodeView; task?: PoolTaskView }>> {
		return this.#call('failAgent', { ws, agentId, reason, who });
	}

	async overview(ws: string): Promise<PoolOverview> {
		this.#wakeups.call++;
		return overviewOf(this.#state, Date.now(), ws);
	}

	async tasks(ws: string, query: { limit: number; cursor?: string; taskType?: TaskType }): Promise<Page<PoolTaskView>> {
		this.#wakeups.call++;
		return poolTasks(this.#state, ws, query);
	}

	async modelHistory(ws: string): Promise<ModelHistory[]> {
		this.#wakeups.call++;
		return modelHistory(this.#state, ws);
	}

	async isolation(ws: string): Promise<IsolationRecord[]> {
		this.#wakeups.call++;
		const all = [...this.#state.nodes.values()].flatMap((node) => node.isolation.filter((record) => node.ws === ws || record.ws === ws));
		return all;
	}

	async metrics(): Promise<PoolMetrics> {
		return {
			...metricsOf(this.#state, Date.now()),
			wakeups: { ...this.#wakeups },
			rowsWritten: { ...this.#store.rowsWritten },
		};
	}

	// ---- sockets ----

	override async fetch(request: Request): Promise<Response> {
		this.#wakeups.call++;
		if (request.headers.get('Upgrade') !== 'websocket') return new Response('WebSocket only', { status: 426 });
		const url = new URL(request.url);
		if (url.pathname === '/node') return this.#acceptNode(request);
		if (url.pathname === '/watch') return this.#acceptWatcher(url.searchParams);
		return new Response('not found', { status: 404 });
	}

	override webSocketMessage(ws: WebSocket, message: string | ArrayBuffer): void {
		this.#wakeups.frame++;
		const attachment = attachmentOf(ws);
		// Watchers have nothing to say but pings, which the runtime answers.
		if (attachment?.kind !== 'node' || attachment.closed === true) return;
		if (typeof message === 'string') this.#onText(ws, attachment, message);
		else this.#onPreview(attachment, new Uint8Array(message));
	}

	override webSocketClose(ws: WebSocket, code: number, reason: string): void {
		this.#wakeups.frame++;
		this.#onGone(ws);
		// Without this the other side hangs in CLOSING: the runtime does not answer closes of hibernating sockets.
		closeQuietly(ws, code, reason);
	}

	override webSocketError(ws: WebSocket): void {
		this.#wakeups.frame++;
		this.#onGone(ws);
	}

	override alarm(): void {
		this.#wakeups.alarm++;
		this.#alarmAt = null;
		this.#run('tick', {});
	}

	// ---- inside ----

	#call<T extends EventType>(type: T, event: EventMap[T]): ReplyOf<T> {
		this.#wakeups.call++;
		return this.#run(type, event);
	}

	#run<T extends EventType>(type: T, event: EventMap[T]): ReplyOf<T> {
		const now = Date.now();
		try {
			const result = step(this.#state, { t: type, ...event }, now);
			this.#apply(result, now);
			return result.reply;
		} catch (error) {
			// Memory and rows may disagree now. Rows win: the object starts again from them.
			this.#log.error('pool step failed', { event: type, ...describeError(error) });
			this.ctx.abort(`pool step ${type} failed: ${String(error)}`);
			throw error;
		}
	}

	#apply(result: StepResult, now: number): void {
		const { writes, sends } = result;
		for (const job of writes.jobs) this.#store.putJob(packJob(job));
		for (const node of writes.nodes) this.#store.putNode(packNode(node));
		for (const ws of writes.pools) this.#store.putPool({ ws, data: JSON.stringify(this.#state.pools.get(ws)) });
		if (writes.deleted.length > 0) this.#store.deleteJobs(writes.deleted);
		this.#arm(result.wakeAt, now);
		for (const send of sends) {
			if (send.kind === 'settle') this.ctx.waitUntil(this.#settle(send.ws, send.batch));
			else this.#wire.send(send, now);
		}
		// The alarm may stand a second late; while the object is in memory anyway, what is due sooner is done in time.
		const soon = result.wakeAt !== undefined && result.wakeAt < now + ALARM_FLOOR_MS ? result.wakeAt : Number.POSITIVE_INFINITY;
		const pokeAt = Math.min(soon, result.pokeAt ?? Number.POSITIVE_INFINITY);
		this.#armPoke(Number.isFinite(pokeAt) ? Math.max(pokeAt, now + POKE_FLOOR_MS) : undefined, now);
	}

	/** Each `setAlarm` costs a row: only when it has to stand earlier than it does. */
	#arm(wakeAt: number | undefined, now: number): void {
		if (wakeAt === undefined) return;
		const at = Math.max(wakeAt, now + ALARM_FLOOR_MS);
		if (this.#alarmAt !== null && this.#alarmAt <= at) return;
		this.#alarmAt = at;
		this.#store.rowsWritten['alarm'] = (this.#store.rowsWritten['alarm'] ?? 0) + 1;
		void this.ctx.storage.setAlarm(at);
	}

	/** For what is not worth an alarm. Lost with the object, and then made up for by the alarm. */
	#armPoke(pokeAt: number | undefined, now: number): void {
		if (pokeAt === undefined || (this.#pokeAt !== null && this.#pokeAt <= pokeAt)) return;
		clearTimeout(this.#poke);
		this.#pokeAt = pokeAt;
		this.#poke = setTimeout(
			() => {
				this.#pokeAt = null;
				this.#run('tick', {});
			},
			Math.max(0, pokeAt - now),
		);
	}

	#acceptNode(request: Request): Response {
		const cert = readCertificate(request.headers.get('X-Limner-Certificate'));
		if (cert === undefined) return new Response('no certificate', { status: 401 });
		const { client, connId } = this.#wire.acceptNode(cert, Date.now());
		this.#run('connect', { connId });
		const asked = request.headers.get('Sec-WebSocket-Protocol') ?? '';
		const headers = asked.split(/\s*,\s*/).includes(SUBPROTOCOL) ? { 'Sec-WebSocket-Protocol': SUBPROTOCOL } : {};
		return new Response(null, { status: 101, webSocket: client, headers });
	}

	#acceptWatcher(query: URLSearchParams): Response {
		const ws = query.get('ws') ?? '';
		const jobId = query.get('job') ?? '';
		const asked = Number(query.get('after') ?? '0');
		const after = Number.isFinite(asked) ? asked : 0;
		const job = this.#state.jobs.get(jobId) ?? this.#settledJob(jobId);
		if (job === undefined || job.ws !== ws) return new Response('no such job', { status: 404 });
		const { client, id } = this.#wire.acceptWatcher(jobId);
		if (this.#state.jobs.has(jobId)) this.#run('watch', { ws, jobId, after, watcher: id });
		else for (const send of replayOnly(job, after, id)) this.#wire.send(send, Date.now());
		return new Response(null, { status: 101, webSocket: client });
	}

	#onText(ws: WebSocket, attachment: NodeAttachment, text: string): void {
		const { connId } = attachment;
		if (text.length > NODE_LIMITS.frameBytes) {
			this.#run('badFrame', { connId, known: true });
			return;
		}
		const parsed = parseNodeFrame(text);
		if (parsed.kind !== 'frame') {
			this.#run('badFrame', { connId, known: parsed.kind === 'bad' });
			return;
		}
		const { frame } = parsed;
		if (frame.t !== 'hello') {
			this.#run('frame', { connId, frame });
			return;
		}
		if (attachment.bootId !== undefined) return;
		if (!helloIsGenuine(attachment, frame)) {
			this.#wire.close(connId, CLOSE.unauthorized, 'The signature does not fit the certificate.');
			this.#run('closed', { connId });
			return;
		}
		ws.serializeAttachment({ ...attachment, bootId: frame.bootId });
		const { cert } = attachment;
		this.#run('hello', { connId, identity: identityOf(cert), frame });
	}

	#onPreview(attachment: NodeAttachment, bytes: Uint8Array): void {
		const { connId } = attachment;
		const preview = decodePreview(bytes);
		if (preview === undefined) this.#run('badFrame', { connId, known: true });
		else if (this.#state.watched.has(preview.header.jobId))
			this.#run('preview', { connId, header: preview.header, base64: Buffer.from(preview.image).toString('base64') });
	}

	#onGone(ws: WebSocket): void {
		const attachment = attachmentOf(ws);
		if (attachment === null) return;
		const id = attachment.kind === 'node' ? attachment.connId : attachment.id;
		const known = this.#wire.forget(id);
		if (attachment.kind === 'node') this.#run('closed', { connId: id });
		else if (known) this.#run('unwatch', { jobId: attachment.jobId });
	}

	/** A job that memory has let go of, from its row. */
	#settledJob(jobId: string): Job | undefined {
		const row = this.#state.settled.has(jobId) ? this.#store.job(jobId) : undefined;
		return row === undefined ? undefined : unpackJob(row);
	}

	#workspace(ws: string): WorkspaceRpc {
		return this.env.WORKSPACE.getByName(ws);
	}

	/** The job is not known here: its Workspace knows what became of it. */
	async #askWorkspace(input: { ws: string; jobId: string; index: number }, key: string): Promise<CompleteOutcome> {
		try {
			const found = await this.#workspace(input.ws).resultKey(input.jobId, input.index);
			if (found.state === 'unknown') return 'gone';
			if (found.key === key) return 'accepted';
			return found.state === 'waiting' || found.state === 'queued' || found.state === 'running' ? 'retry' : 'stale';
		} catch {
			return 'retry';
		}
	}

	async #settle(ws: string, batch: Settlement[]): Promise<void> {
		const jobIds = batch.map((settlement) => settlement.jobId);
		try {
			await withTimeout(this.#workspace(ws).settleBatch(batch), SETTLE_CALL_MS, `the workspace ${ws}`);
		} catch (error) {
			this.#log.warn('settle failed; it will be tried again', { ws, jobs: jobIds.length, ...describeError(error) });
			this.#run('settleFailed', { ws, jobIds });
			return;
		}
		this.#run('settled', { ws, jobIds });
	}
}

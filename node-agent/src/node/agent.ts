/**
 * A node: its identity, its socket, its slots and its outbox, put together.
 * @module
 */
import { randomUUID } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import {
	LIMNER_VERSION,
	PROTOCOL_VERSION,
	TIMING,
	type Device,
	type GatewayFrame,
	type GrantRef,
	type NodeFrame,
	type SlotInfo,
} from '@limner/shared';
import { UnreachableError } from '../client/http.ts';
import { ensureEnrolled, recoverCertificate, type EnrolOptions } from '../identity/enrol.ts';
import { signHello } from '../identity/keys.ts';
import { saveIdentity, type EnrolledIdentity } from '../identity/store.ts';
import { sleep } from '../lib/backoff.ts';
import { monotonicMs } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { UserError } from '../lib/user-error.ts';
import type { LinkState } from '../link/reducer.ts';
import { Link } from '../link/socket.ts';
import type { StoredModel } from '../models/store.ts';
import { DEFAULT_OUTBOX_LIMITS, openOutbox, type Outbox } from '../outbox/outbox.ts';
import type { StartWorker } from '../slots/messages.ts';
import type { SlotState } from '../slots/state.ts';
import { Duty, type DutyAction, type DutyParts } from './duty.ts';
import { Chores } from './chores.ts';
import { Reporter } from './reporter.ts';
import { FINISH_WITHIN_MS, tasksToHandBack } from './shutdown.ts';
import type { NodeStatus } from './status.ts';
import { coarse, Sampler, type Readings } from './telemetry.ts';
import { Work } from './work.ts';

export interface AgentOptions {
	gateway: string;
	stateDir: string;
	name: string;
	token?: string | undefined;
	slots: number;
	/** Slots share them out in turn. */
	devices: readonly Device[];
	engineName: string;
	startWorker: StartWorker;
	/** Pictures that a slot takes at a time until its engine says what it takes; 1 when absent. */
	maxBatch?: number | undefined;
	models: StoredModel[];
	/** Folders that pulled models go into and lie in; the first one takes new ones. */
	stores?: readonly string[] | undefined;
	/** Whether its workspace may bring models and take them away; true when absent. */
	mayPull?: boolean | undefined;
	/** Looks for models again; answers the new list, or nothing when it is the old one. */
	lookForModels?: (() => Promise<StoredModel[] | undefined>) | undefined;
	/** Fetches a model that the pool asks for, and answers the models then; absent when the owner does not want that. */
	fetchModel?: ((source: string, name: string) => Promise<StoredModel[]>) | undefined;
	/** A task uses a model. */
	onModelUsed?: ((name: string) => void) | undefined;
	/** How often, in milliseconds. */
	lookEveryMs?: number;
	/** Hours in which the node works; always when absent. */
	hours?: Pick<DutyParts, 'schedule' | 'now' | 'checkMs'> | undefined;
	/** Bytes that finished pictures may take. */
	maxDiskBytes?: number | undefined;
	log: Logger;
	onStatus?: (status: NodeStatus) => void;
	/** The node cannot go on; the sentence says why and what to do. */
	onHalt?: (sentence: string) => void;
}

const KEEP_ALIVE_MS = 5000;
const RENEW_CHECK_MS = 6 * 60 * 60 * 1000;
const STOP_POLL_MS = 100;
const MODELS_MS = 10_000;
const UPLOAD_WAIT_MS = 10_000;
/** Free disk is told again when it changed by more than this share. */
const DISK_SHARE = 0.1;

const freeBytes = async (folder: string): Promise<number | undefined> => {
	try {
		const { bavail, bsize } = await statfs(folder);
		return bavail * bsize;
	} catch {
		return undefined;
	}
};

type Welcome = Extract<GatewayFrame, { t: 'welcome' }>;

export class NodeAgent {
	readonly #options: AgentOptions;
	readonly #bootId = randomUUID();
	readonly #outbox: Outbox;
	readonly #work: Work;
	readonly #chores: Chores;
	/** Replaced after a rest. */
	#link: Link;
	readonly #duty: Duty | undefined;
	#models: StoredModel[];
	#modelsTold = true;
	#looking = false;
	readonly #reporter: Reporter;
	#identity: EnrolledIdentity;
	#config: Welcome['config'] = {
		pingMs: TIMING.pingMs,
		progressMs: TIMING.progressMs,
		watchProgressMs: TIMING.watchProgressMs,
		telemetryMs: TIMING.telemetryMs,
	};
	#mode: NodeStatus['mode'] = 'active';
	#modeReason = '';
	#reason = '';
	#slotCount: number;
	#stopping = false;
	#diskFree: number | undefined;
	readonly #sampler = new Sampler();
	#readings: Readings | undefined;
	#told = '';
	#timers: NodeJS.Timeout[] = [];
	#telemetryAt = Number.NEGATIVE_INFINITY;

	private constructor(options: AgentOptions, identity: EnrolledIdentity, outbox: Outbox, diskFree: number | undefined) {
		this.#options = options;
		this.#models = options.models;
		this.#identity = identity;
		this.#outbox = outbox;
		this.#slotCount = options.slots;
		this.#diskFree = diskFree;
		this.#chores = this.#makeChores();
		this.#work = this.#makeWork();
		this.#reporter = new Reporter({
			items: () => this.#work.items(),
			send: (items) => this.#link.send({ t: 'progress', items: items.map(({ key: _key, watched: _watched, ...item }) => item) }),
			config: () => ({ ...this.#config, keepAliveMs: KEEP_ALIVE_MS }),
		});
		this.#link = this.#makeLink();
		this.#duty = this.#makeDuty();
	}

	/**
	 * Enrols, opens the outbox and starts to connect.
	 * @throws {UserError} when the node cannot enrol or its state folder cannot be used
	 */
	static async start(options: AgentOptions): Promise<NodeAgent> {
		const identity = await ensureEnrolled(enrolOptions(options));
		const limits = { ...DEFAULT_OUTBOX_LIMITS, ...(options.maxDiskBytes === undefined ? {} : { maxBytes: options.maxDiskBytes }) };
		const outbox = await openOutbox(join(options.stateDir, 'outbox'), { limits });
		const agent = new NodeAgent(options, identity, outbox, await freeBytes(options.stateDir));
		agent.#begin();
		return agent;
	}

	get nodeId(): string {
		return this.#identity.nodeId;
	}

	get online(): boolean {
		return this.#link.online;
	}

	/** Bytes of pictures that wait for their upload. */
	get waitingBytes(): number {
		return this.#outbox.list().reduce((sum, record) => sum + record.bytes, 0);
	}

	/** Names of models that some slot holds. */
	get loadedModels(): Set<string> {
		return new Set(this.#work.slots.states().flatMap(({ loaded }) => (loaded === undefined ? [] : [loaded])));
	}

	get certificate(): string {
		return this.#identity.certificate;
	}

	status(): NodeStatus {
		const { state } = this.#link;
		return {
			name: this.#options.name,
			gateway: this.#options.gateway,
			link: linkView(state),
			problem: state.problem,
			mode: this.#mode,
			modeReason: this.#modeReason,
			rest: this.#duty?.text() ?? '',
			reason: this.#reason,
			slots: this.#slotCount,
			running: this.#work.items().flatMap((item) => {
				if (item.phase === 'uploading') return [];
				const rate = item.itPerS === undefined ? {} : { itPerS: item.itPerS };
				return [{ slotId: '', jobId: item.jobId, phase: item.phase, step: item.step, steps: item.steps, ...rate }];
			}),
			uploads: this.#work.uploader.pending,
			uploadProblem: this.#work.uploadProblem,
			trouble: this.#work.trouble,
			done: this.#work.done,
			failed: this.#work.failed,
			stopping: this.#stopping,
		};
	}

	/** Finishes what is nearly done, hands back the rest, says goodbye. */
	async stop(reason = 'the node was stopped'): Promise<void> {
		if (this.#stopping) return;
		this.#stopping = true;
		this.#options.log.info({ reason }, 'stopping');
		// The first goodbye stops new work; the second one names what is handed back.
		this.#link.send({ t: 'bye', reason, abandoned: [] });
		const abandoned = await this.#finishOrHandBack();
		await this.#work.uploader.idle(this.#link.online ? UPLOAD_WAIT_MS : 0);
		await this.#close({ t: 'bye', reason, abandoned });
	}

	/** Leaves at once; the gateway learns it from the closed socket. */
	async abort(): Promise<void> {
		this.#stopping = true;
		const abandoned = this.#work.handBack();
		await this.#close({ t: 'bye', reason: 'the node was stopped at once', abandoned });
	}

	async #close(bye: NodeFrame): Promise<void> {
		for (const timer of this.#timers) clearInterval(timer);
		this.#duty?.stop();
		this.#reporter.stop();
		await this.#link.stop(bye);
		await this.#work.stop();
		this.#options.log.info('stopped');
	}

	async #finishOrHandBack(): Promise<GrantRef[]> {
		const began = monotonicMs();
		const abandoned: GrantRef[] = [];
		while (this.#work.unfinished > 0 && monotonicMs() - began < FINISH_WITHIN_MS) {
			const runs = this.#work.running().map(({ run }) => run);
			abandoned.push(...this.#work.handBack(tasksToHandBack(runs, monotonicMs() - began)));
			this.#tell();
			await sleep(STOP_POLL_MS);
		}
		return [...abandoned, ...this.#work.handBack()];
	}

	#begin(): void {
		this.#work.start();
		if (this.#duty === undefined) this.#link.start();
		else this.#duty.start();
		this.#timers.push(
			setInterval(() => void this.#lookForModels(), this.#options.lookEveryMs ?? MODELS_MS).unref(),
			setInterval(() => void this.#telemetry(), this.#config.telemetryMs).unref(),
			setInterval(() => void this.#renewInTime(), RENEW_CHECK_MS).unref(),
		);
	}

	#makeChores(): Chores {
		const { options } = { options: this.#options };
		return new Chores({
			stores: options.stores ?? [join(options.stateDir, 'models')],
			mayPull: options.mayPull ?? true,
			stateDir: options.stateDir,
			devices: () => options.devices,
			engineName: options.engineName,
			models: () => this.#models,
			onModel: (change) => {
				const name = 'came' in change ? change.came.name : change.gone;
				const others = this.#models.filter((model) => model.name !== name);
				this.#models = 'came' in change ? [...others, change.came] : others;
				this.#modelsTold = this.#link.send({ t: 'telemetry', models: this.#models.map(({ info }) => info) });
			},
		});
	}

	#makeWork(): Work {
		const { options } = { options: this.#options };
		return new Work({
			startWorker: options.startWorker,
			slots: options.slots,
			outbox: this.#outbox,
			tmpDir: join(options.stateDir, 'tmp'),
			gateway: () => options.gateway,
			chores: this.#chores,
			model: (name) => this.#models.find((model) => model.name === name),
			send: (frame) => this.#link.send(frame),
			sendPreview: (header, jpeg) => void this.#link.sendPreview(header, jpeg),
			onChange: () => this.#changed(),
			log: options.log,
		});
	}

	#makeLink(): Link {
		const { gateway, log } = this.#options;
		return new Link({
			credentials: () => ({ gateway, certificate: this.#identity.certificate }),
			hello: (nonce, connId) => this.#hello(nonce, connId),
			onFrame: (frame) => this.#onFrame(frame),
			onState: (state) => {
				log.info({ phase: state.phase, problem: state.problem }, 'link');
				this.#tell();
			},
			onHalt: (sentence) => {
				log.error({ sentence }, 'halted');
				this.#options.onHalt?.(sentence);
			},
			onNote: (note) => log.warn({ note }, 'link'),
			renew: async () => {
				this.#identity = await recoverCertificate(enrolOptions(this.#options));
			},
			isFinal: (error) => error instanceof UserError && !(error instanceof UnreachableError),
		});
	}

	#makeDuty(): Duty | undefined {
		const { hours } = this.#options;
		if (hours === undefined) return undefined;
		return new Duty({ ...hours, unfinished: () => this.#work.unfinished, apply: (action, reason) => this.#keepHours(action, reason) });
	}

	#keepHours(action: DutyAction, reason: string): void {
		if (this.#stopping) return;
		this.#options.log.info({ action, reason }, 'working hours');
		if (action === 'goodbye') this.#link.send({ t: 'bye', reason, abandoned: [] });
		else if (action === 'disconnect') void this.#link.stop({ t: 'bye', reason, abandoned: [] });
		else {
			// A link that has stopped stays so.
			if (this.#link.state.phase === 'stopped') this.#link = this.#makeLink();
			this.#link.start();
		}
		this.#tell();
	}

	/** Models come and go while the node runs. */
	async #lookForModels(): Promise<void> {
		if (this.#looking) return;
		this.#looking = true;
		try {
			const found = await this.#options.lookForModels?.();
			if (found !== undefined) {
				this.#models = found;
				this.#modelsTold = false;
				this.#options.log.info({ models: found.map((model) => model.name) }, 'the models have changed');
			}
			// The next hello tells them anyway; on a standing connection it is now.
			if (!this.#modelsTold) this.#modelsTold = this.#link.send({ t: 'telemetry', models: this.#models.map(({ info }) => info) });
		} catch (error) {
			this.#options.log.warn({ err: error }, 'the folders of models cannot be read');
		} finally {
			this.#looking = false;
		}
	}

	/** A hint of the pool, which waits for nothing: taken while the node stands idle. */
	async #prefetch(source: string, name: string): Promise<void> {
		const { fetchModel, log } = this.#options;
		if (fetchModel === undefined || this.#stopping || this.#models.some((model) => model.name === name)) return;
		log.info({ source, model: name }, 'fetching a model that the pool asks for');
		try {
			this.#models = await fetchModel(source, name);
			this.#modelsTold = this.#link.send({ t: 'telemetry', models: this.#models.map(({ info }) => info) });
		} catch (error) {
			log.warn({ err: error, model: name }, 'a model that the pool asks for was not fetched');
		}
	}

	#slotInfos(): SlotInfo[] {
		return this.#work.slots
			.states()
			.filter((state) => !state.retiring)
			.map((state) => ({
				id: state.id,
				device: deviceOf(this.#options.devices, state.id),
				engine: this.#options.engineName,
				...this.#batchOf(state),
				...(state.loaded === undefined ? {} : { loaded: state.loaded }),
			}));
	}

	/** What a slot takes: what its engine measured, else what its owner allows. */
	#batchOf({ capabilities, loaded }: SlotState): Pick<SlotInfo, 'maxBatch' | 'maxBatchPx' | 'warm'> {
		const px = capabilities?.maxBatchPx;
		const others = capabilities?.held.filter((name) => name !== loaded) ?? [];
		return {
			maxBatch: capabilities?.maxBatch ?? this.#options.maxBatch ?? 1,
			...(px === undefined ? {} : { maxBatchPx: px }),
			...(others.length === 0 ? {} : { warm: others }),
		};
	}

	#hello(nonce: string, connId: string): NodeFrame {
		const { keys, nodeId } = this.#identity;
		const loaded = new Set(this.#work.slots.states().flatMap((state) => [state.loaded, ...(state.capabilities?.held ?? [])]));
		return {
			t: 'hello',
			v: PROTOCOL_VERSION,
			nodeId,
			connId,
			bootId: this.#bootId,
			sig: signHello(keys, nonce, nodeId, connId),
			name: this.#options.name,
			agentVersion: LIMNER_VERSION,
			platform: `${process.platform}-${process.arch}`,
			slots: this.#slotInfos(),
			models: this.#models.map(({ info }) => (loaded.has(info.name) ? { ...info, warm: true } : info)),
			memoryBytes: totalmem(),
			taskTypes: this.#chores.taskTypes,
			...(this.#diskFree === undefined ? {} : { diskFreeBytes: this.#diskFree }),
			...this.#work.claims(),
		};
	}

	#onFrame(frame: GatewayFrame): void {
		switch (frame.t) {
			case 'welcome':
				this.#welcomed(frame);
				break;
			case 'task':
				// After the goodbye the gateway does not count on this node: the unanswered task goes elsewhere.
				if (this.#stopping || this.#duty?.phase === 'draining') break;
				this.#options.onModelUsed?.(frame.spec.model);
				this.#work.accept(frame);
				break;
			case 'cancel':
				this.#work.cancel(frame, frame.reason);
				break;
			case 'watch':
				this.#work.watch(frame.jobId, frame.on);
				break;
			default:
				this.#onOrder(frame);
		}
	}

	#onOrder(frame: GatewayFrame): void {
		if (frame.t === 'prefetch') void this.#prefetch(frame.source, frame.model);
		else if (frame.t === 'mode') {
			this.#mode = frame.mode;
			this.#modeReason = frame.mode === 'active' ? '' : frame.reason;
		} else if (frame.t === 'status') this.#reason = frame.text;
		else if (frame.t === 'resize') {
			this.#slotCount = frame.slots;
			this.#work.slots.resize(frame.slots);
			this.#link.send({ t: 'telemetry', slots: this.#slotInfos() });
		} else if (frame.t === 'move') void this.#move(frame.shard, frame.certificate);
		this.#tell();
	}

	#welcomed(frame: Welcome): void {
		this.#config = frame.config;
		this.#mode = frame.mode;
		this.#told = this.#telemetryText();
		this.#work.welcomed(frame.drop);
		this.#reporter.reset();
		if (this.#stopping) this.#link.send({ t: 'bye', reason: 'the node is stopping', abandoned: [] });
		this.#tell();
	}

	async #move(shard: number, certificate: string): Promise<void> {
		this.#identity = { ...this.#identity, shard, certificate };
		this.#options.log.info({ shard }, 'moving to another shard');
		await saveIdentity(this.#options.stateDir, this.#identity).catch((error: unknown) =>
			this.#options.log.error({ err: error }, 'identity'),
		);
		this.#link.reconnect();
	}

	#changed(): void {
		this.#reporter.poke();
		if (this.#telemetryText() !== this.#told) void this.#telemetry();
		this.#tell();
	}

	/** Coarse, so that only what matters to the scheduler is news. */
	#telemetryText(): string {
		const disk = this.#diskFree === undefined ? 0 : Math.round(Math.log(Math.max(1, this.#diskFree)) / DISK_SHARE);
		return JSON.stringify([
			this.#slotInfos().map(({ id, loaded, maxBatch, maxBatchPx, warm }) => [id, loaded, maxBatch, maxBatchPx, warm]),
			disk,
			coarse(this.#readings),
		]);
	}

	async #telemetry(): Promise<void> {
		const now = monotonicMs();
		if (now - this.#telemetryAt < this.#config.telemetryMs) return;
		this.#telemetryAt = now;
		[this.#diskFree, this.#readings] = await Promise.all([freeBytes(this.#options.stateDir), this.#sampler.read()]);
		const text = this.#telemetryText();
		if (text === this.#told) return;
		const disk = this.#diskFree === undefined ? {} : { diskFreeBytes: this.#diskFree };
		if (this.#link.send({ t: 'telemetry', ...this.#readings, slots: this.#slotInfos(), ...disk })) this.#told = text;
	}

	async #renewInTime(): Promise<void> {
		try {
			this.#identity = await ensureEnrolled(enrolOptions(this.#options));
		} catch (error) {
			this.#options.log.warn({ err: error }, 'the certificate could not be renewed');
		}
	}

	#tell(): void {
		this.#options.onStatus?.(this.status());
	}
}

/** The device of a slot: slot 3 of two GPUs computes on the second one. */
export const deviceOf = (devices: readonly Device[], slotId: string): Device =>
	devices[Number(slotId) % Math.max(1, devices.length)] ?? { kind: 'cpu', name: 'CPU' };

const enrolOptions = (options: AgentOptions): EnrolOptions => ({
	gateway: options.gateway,
	stateDir: options.stateDir,
	name: options.name,
	token: options.token,
	now: Date.now(),
});

const linkView = (state: LinkState): NodeStatus['link'] => {
	if (state.phase === 'online' || state.phase === 'stopped') return state.phase;
	return state.phase === 'backoff' ? 'offline' : 'connecting';
};

/**
 * A node: its identity, its socket, its slots and its outbox, put together.
 * @module
 */
import { randomUUID } from 'node:crypto';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { LIMNER_VERSION, PROTOCOL_VERSION, TIMING, type GatewayFrame, type GrantRef, type NodeFrame, type SlotInfo } from '@limner/shared';
import { UnreachableError } from '../client/http.ts';
import { ensureEnrolled, recoverCertificate } from '../identity/enrol.ts';
import { signHello } from '../identity/keys.ts';
import { saveIdentity, type EnrolledIdentity } from '../identity/store.ts';
import { sleep } from '../lib/backoff.ts';
import { monotonicMs } from '../lib/clock.ts';
import { UserError } from '../lib/user-error.ts';
import { Link } from '../link/socket.ts';
import { DEFAULT_OUTBOX_LIMITS, openOutbox, type Outbox } from '../outbox/outbox.ts';
import { Chores } from './chores.ts';
import { heldModels, linkView, slotInfos } from './describe.ts';
import { Duty, type DutyAction } from './duty.ts';
import { Inventory } from './inventory.ts';
import { enrolOptions, type AgentOptions } from './options.ts';
import { Reporter } from './reporter.ts';
import { FINISH_WITHIN_MS, tasksToHandBack } from './shutdown.ts';
import type { NodeStatus } from './status.ts';
import { freeBytes, Vitals } from './vitals.ts';
import { Work } from './work.ts';

const KEEP_ALIVE_MS = 5000;
const RENEW_CHECK_MS = 6 * 60 * 60 * 1000;
const STOP_POLL_MS = 100;
const MODELS_MS = 10_000;
const UPLOAD_WAIT_MS = 10_000;
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
	readonly #inventory: Inventory;
	readonly #vitals: Vitals;
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
	#timers: NodeJS.Timeout[] = [];

	private constructor(options: AgentOptions, identity: EnrolledIdentity, outbox: Outbox, diskFree: number | undefined) {
		this.#options = options;
		this.#identity = identity;
		this.#outbox = outbox;
		this.#slotCount = options.slots;
		const send = (frame: NodeFrame): boolean => this.#link.send(frame);
		this.#inventory = new Inventory({ ...options, send });
		this.#vitals = new Vitals(
			{ folder: options.stateDir, slots: () => this.#slotInfos(), send, everyMs: () => this.#config.telemetryMs, monotonicMs },
			diskFree,
		);
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
		const identity = await ensureEnrolled(enrolOptions(options, Date.now()));
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
			setInterval(() => void this.#inventory.look(), this.#options.lookEveryMs ?? MODELS_MS).unref(),
			setInterval(() => void this.#vitals.tell(), this.#config.telemetryMs).unref(),
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
			models: () => this.#inventory.all(),
			onModel: (change) => this.#inventory.change(change),
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
			model: (name) => this.#inventory.find(name),
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
				this.#identity = await recoverCertificate(enrolOptions(this.#options, Date.now()));
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

	#slotInfos(): SlotInfo[] {
		return slotInfos(this.#work.slots.states(), this.#options);
	}

	#hello(nonce: string, connId: string): NodeFrame {
		const { keys, nodeId } = this.#identity;
		const held = heldModels(this.#work.slots.states());
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
			models: this.#inventory.infos().map((info) => (held.has(info.name) ? { ...info, warm: true } : info)),
			memoryBytes: totalmem(),
			taskTypes: this.#chores.taskTypes,
			autoPull: this.#options.fetchModel !== undefined,
			...this.#vitals.disk,
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
		if (frame.t === 'prefetch' && !this.#stopping) void this.#inventory.prefetch(frame.source, frame.model);
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
		this.#vitals.saidHello();
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
		void this.#vitals.changed();
		this.#tell();
	}

	async #renewInTime(): Promise<void> {
		try {
			this.#identity = await ensureEnrolled(enrolOptions(this.#options, Date.now()));
		} catch (error) {
			this.#options.log.warn({ err: error }, 'the certificate could not be renewed');
		}
	}

	#tell(): void {
		this.#options.onStatus?.(this.status());
	}
}

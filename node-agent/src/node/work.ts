/**
 * The life of a node's tasks: granted, inputs fetched, made in a slot, kept in the outbox, uploaded.
 * @module
 */
import { basename, join } from 'node:path';
import { isChore, type FailureClass, type GrantRef, type Isolation, type NodeFrame, type PreviewHeader, type Task } from '@limner/shared';
import { EngineError, type EngineInputs, type EngineModel } from '../engines/types.ts';
import { monotonicMs } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { messageOf } from '../lib/user-error.ts';
import type { StoredModel } from '../models/store.ts';
import { OutboxError, outboxKey, type Outbox, type OutboxRecord } from '../outbox/outbox.ts';
import { Uploader, type UploadVerdict } from '../outbox/uploader.ts';
import { SlotManager } from '../slots/manager.ts';
import type { SlotTask, StartWorker } from '../slots/messages.ts';
import type { SlotOutcome, SlotRun } from '../slots/state.ts';
import { faultOf, fetchInputs, wipeFolder, wipeNow } from './inputs.ts';
import { newAttempt, outboxRecord, reportItem, reportRecord, type Attempt, type FailedFrame } from './attempt.ts';
import { benchmarkReport, runOf, runsWanted } from './benchmark.ts';
import { ChoreError, SourceError, type Chores, type Report } from './chores.ts';
import type { ReportItem } from './reporter.ts';
import { attemptKey, grantOf, isSuperseded, outputOf, tasksOf, toEngineRequest } from './requests.ts';

type Done = Extract<SlotOutcome, { kind: 'done' }>;

export interface WorkOptions {
	startWorker: StartWorker;
	slots: number;
	outbox: Outbox;
	/** Folder for the inputs of tasks. */
	tmpDir: string;
	gateway: () => string;
	model: (name: string) => StoredModel | undefined;
	/** Does the tasks that need no slot. */
	chores: Chores;
	/** Sends a frame; false when the link is down. */
	send: (frame: NodeFrame) => boolean;
	sendPreview: (header: PreviewHeader, jpeg: Uint8Array) => void;
	onChange: () => void;
	log: Logger;
}

const BATCH_NAME_CHARS = 100;
const MESSAGE_CHARS = 500;

/** What an engine needs of a model. */
const engineModel = ({ name, dir, sha256, folder }: StoredModel): EngineModel => ({
	name,
	dir,
	sha256,
	...(folder === undefined ? {} : { folder }),
});

/** Pictures that a slot begins in one turn bear one name: they share it on purpose. */
const nameBatch = ([first, ...more]: readonly Attempt[]): void => {
	if (first !== undefined && more.length > 0) for (const attempt of [first, ...more]) attempt.batch = first.key.slice(0, BATCH_NAME_CHARS);
};

export class Work {
	readonly #options: WorkOptions;
	readonly #attempts = new Map<string, Attempt>();
	readonly #watched = new Set<string>();
	readonly slots: SlotManager;
	readonly uploader: Uploader;
	done = 0;
	failed = 0;
	/** Why uploads do not get through; empty when they do. */
	uploadProblem = '';
	/** Why finished pictures cannot be kept; empty when they can. */
	trouble = '';

	constructor(options: WorkOptions) {
		this.#options = options;
		this.slots = new SlotManager({
			startWorker: options.startWorker,
			onSettled: (_slotId, task, outcome) => this.#settled(task, outcome),
			onPreview: (task, step, jpeg) => options.sendPreview({ ...grantOf(task.grant), step, contentType: 'image/jpeg' }, jpeg),
			onChange: () => options.onChange(),
		});
		this.uploader = new Uploader({
			gateway: options.gateway,
			outbox: options.outbox,
			onVerdict: (record, verdict, attempt) => this.#uploaded(record, verdict, attempt),
		});
	}

	/** Starts the slots, and the uploads that an earlier process left behind. */
	start(): void {
		this.slots.resize(this.#options.slots);
		for (const record of this.#options.outbox.list()) {
			this.#options.log.info({ jobId: record.jobId, traceId: record.traceId }, 'a picture of an earlier run is uploaded');
			this.uploader.add(record);
		}
	}

	/** Takes a grant, or says why not. A repeat of a known one is acknowledged again. */
	accept(frame: Task): void {
		const fresh = tasksOf(frame).filter((each) => !this.#isKnown(each));
		const attempts = fresh.map((each) => newAttempt(each, this.#options.log));
		const [only] = attempts;
		if (only === undefined) return;
		if (isChore(frame.spec.taskType ?? 'GENERAL')) {
			void this.#doChore(only);
			return;
		}
		const model = this.#options.model(frame.spec.model);
		if (!this.#isFree(frame.slotId)) this.#failAll(attempts, `Slot ${frame.slotId} of this node is busy with another task.`);
		else if (model === undefined) this.#failAll(attempts, `This node does not have the model ${frame.spec.model} any more.`);
		else {
			for (const attempt of attempts) this.#take(attempt, model, attempts.length);
			void this.#begin(attempts, model);
		}
	}

	/** Acknowledges a repeat; what a newer epoch replaces is cancelled. */
	#isKnown(frame: Task): boolean {
		const known = this.#attempts.get(attemptKey(frame));
		if (known !== undefined) this.#ack(known);
		else for (const older of this.#attempts.values()) if (isSuperseded(older.grant, frame)) this.cancel(older.grant, 'superseded');
		return known !== undefined;
	}

	#take(attempt: Attempt, model: StoredModel, batch: number): void {
		if (attempt.frame.watched === true) this.#watched.add(attempt.grant.jobId);
		this.#attempts.set(attempt.key, attempt);
		this.#ack(attempt);
		attempt.log.info({ slotId: attempt.slotId, model: model.name, batch }, 'task taken');
	}

	/** A task beside the slots: its report goes the way of a picture. */
	async #doChore(attempt: Attempt): Promise<void> {
		this.#attempts.set(attempt.key, attempt);
		this.#ack(attempt);
		attempt.log.info({ taskType: attempt.frame.spec.taskType }, 'chore taken');
		const began = monotonicMs();
		const onFraction = (fraction: number): void => {
			attempt.fraction = fraction;
			this.#options.onChange();
		};
		try {
			const data = await this.#options.chores.run(attempt.frame, onFraction, attempt.abort.signal);
			if (attempt.cancelled) return this.#ended(attempt);
			attempt.stage = 'keeping';
			return await this.#keepReport(attempt, data, { loadMs: 0, totalMs: monotonicMs() - began });
		} catch (error) {
			if (attempt.cancelled) return this.#ended(attempt);
			const need = error instanceof SourceError ? { need: 'model-source' as const } : {};
			return this.#fail(attempt, error instanceof ChoreError ? 'invalid' : 'engine', messageOf(error), need);
		}
	}

	/** Keeps and uploads a report as a picture would be. */
	async #keepReport(attempt: Attempt, data: Report, timings: { loadMs: number; totalMs: number; denoiseMs?: number }): Promise<void> {
		const bytes = Buffer.from(JSON.stringify(data));
		const record = reportRecord(attempt, bytes);
		if (!(await this.#store(attempt, record, bytes))) return;
		attempt.stage = 'uploading';
		this.#options.send({ t: 'generated', ...attempt.grant, slotId: attempt.slotId, ...timings });
		attempt.log.info({ ...timings, bytes: bytes.length }, 'report made');
		this.uploader.add(record, bytes);
		this.#options.onChange();
	}

	#failAll(attempts: readonly Attempt[], sentence: string): void {
		for (const attempt of attempts) this.#fail(attempt, 'engine', sentence);
	}

	cancel(ref: GrantRef, reason: string): void {
		const attempt = this.#attempts.get(attemptKey(ref));
		if (attempt === undefined) return void this.#forgetUpload(ref);
		if (attempt.cancelled) return undefined;
		attempt.cancelled = true;
		attempt.abort.abort();
		attempt.log.info({ reason, stage: attempt.stage }, 'task cancelled');
		if (attempt.stage === 'slot') return this.slots.cancel(attempt.key);
		// What is being fetched or kept ends by itself and sees the flag.
		if (attempt.stage === 'uploading') void this.#forgetUpload(ref);
		if (attempt.stage === 'uploading' || attempt.stage === 'failed') this.#end(attempt);
		return undefined;
	}

	/** Somebody began or stopped to watch a job. */
	watch(jobId: string, on: boolean): void {
		if (on) this.#watched.add(jobId);
		else this.#watched.delete(jobId);
		for (const attempt of this.#attempts.values()) if (attempt.grant.jobId === jobId) this.slots.watch(attempt.key, on);
		this.#options.onChange();
	}

	/** For `hello`: what is worked on, and what waits for its upload. */
	claims(): { running: (GrantRef & { slotId: string })[]; finished: GrantRef[] } {
		const running = [...this.#attempts.values()]
			.filter((attempt) => attempt.stage !== 'uploading' && !attempt.cancelled)
			.map((attempt) => ({ ...attempt.grant, slotId: attempt.slotId }));
		return { running, finished: this.#options.outbox.list().map(grantOf) };
	}

	/** Applies the gateway's answer to `hello`, and tells what could not be told before. */
	welcomed(drop: readonly GrantRef[]): void {
		for (const ref of drop) this.cancel(ref, 'the gateway does not need it any more');
		for (const attempt of this.#attempts.values()) {
			if (attempt.untold !== undefined && this.#options.send(attempt.untold)) this.#end(attempt);
		}
		this.uploader.kick();
	}

	/** What `progress` frames tell. */
	items(): ReportItem[] {
		const runs = new Map(this.slots.running().flatMap(({ run }) => run.tasks.map((task) => [task.key, run] as const)));
		return [...this.#attempts.values()]
			.filter((attempt) => attempt.stage !== 'failed' && !attempt.cancelled)
			.map((attempt) => reportItem(attempt, runs.get(attempt.key), this.#watched.has(attempt.grant.jobId)));
	}

	/** Tasks in slots, with what is known of their speed. */
	running(): { slotId: string; run: SlotRun; handedBack: boolean }[] {
		return this.slots
			.running()
			.map(({ slotId, run }) => ({ slotId, run, handedBack: run.tasks.every((task) => this.#attempts.get(task.key)?.cancelled ?? true) }))
			.filter(({ handedBack }) => !handedBack);
	}

	/** Attempts that still need a slot, or the inputs before it. */
	get unfinished(): number {
		return [...this.#attempts.values()].filter((attempt) => ['fetching', 'slot', 'keeping'].includes(attempt.stage) && !attempt.cancelled)
			.length;
	}

	/** Stops tasks so that others can have them; answers which. */
	handBack(only?: ReadonlySet<string>): GrantRef[] {
		const given = [...this.#attempts.values()].filter(
			(attempt) => (attempt.stage === 'fetching' || attempt.stage === 'slot') && !attempt.cancelled && (only?.has(attempt.key) ?? true),
		);
		for (const attempt of given) {
			attempt.abandoned = true;
			this.cancel(attempt.grant, 'handed back');
		}
		return given.map((attempt) => attempt.grant);
	}

	async stop(): Promise<void> {
		this.uploader.stop();
		await this.slots.stop();
		await wipeFolder(this.#options.tmpDir);
	}

	#isFree(slotId: string): boolean {
		const reserved = [...this.#attempts.values()].some(
			(attempt) => attempt.slotId === slotId && attempt.stage === 'fetching' && !attempt.cancelled,
		);
		return !reserved && this.slots.accepts(slotId);
	}

	#ack(attempt: Attempt): void {
		this.#options.send({ t: 'ack', ...attempt.grant, slotId: attempt.slotId });
	}

	#folder(attempt: Attempt): string {
		return join(this.#options.tmpDir, attempt.key.replaceAll('/', '-'));
	}

	/** Fetches the inputs of all pictures of a grant, and hands the slot those that got theirs and are still wanted. */
	async #begin(attempts: readonly Attempt[], model: StoredModel): Promise<void> {
		const [lead] = attempts;
		// Nothing waits for a model that is loaded while its pictures come over the network.
		if (lead !== undefined && lead.frame.inputs.length > 0) this.slots.prepare(lead.slotId, engineModel(model));
		const inputs = await Promise.all(attempts.map((attempt) => this.#fetch(attempt)));
		const tasks: SlotTask[] = [];
		const begun: Attempt[] = [];
		for (const [i, attempt] of attempts.entries()) {
			const fetched = inputs[i];
			if (fetched === undefined) continue;
			// Cancelled while the others were still being fetched.
			if (attempt.cancelled) this.#ended(attempt);
			else {
				attempt.stage = 'slot';
				attempt.startedMs = Date.now();
				begun.push(attempt);
				tasks.push(this.#slotTask(attempt, model, fetched));
			}
		}
		nameBatch(begun);
		const [first, ...more] = tasks;
		if (lead === undefined || first === undefined) return;
		const refusal = this.slots.run(lead.slotId, first, ...more);
		if (refusal !== undefined) this.#failAll(begun, refusal);
	}

	/** Nothing when it failed or is not wanted any more: its end was told. */
	async #fetch(attempt: Attempt): Promise<EngineInputs | undefined> {
		try {
			return await fetchInputs(this.#options.gateway(), attempt.frame.inputs, this.#folder(attempt), attempt.abort.signal);
		} catch (error) {
			if (attempt.cancelled) this.#ended(attempt);
			else this.#fail(attempt, error instanceof EngineError ? error.failure : 'engine', messageOf(error), faultOf(error));
			return undefined;
		}
	}

	#slotTask({ key, grant, frame }: Attempt, model: StoredModel, inputs: EngineInputs): SlotTask {
		const { spec, seed, jobId } = frame;
		const request = toEngineRequest(spec, seed);
		return {
			key,
			grant,
			request,
			model: engineModel(model),
			inputs,
			...outputOf(spec),
			...(spec.taskType === 'HEARTBEAT' ? { hashPixels: true } : {}),
			watched: this.#watched.has(jobId),
		};
	}

	#settled(task: SlotTask, outcome: SlotOutcome): void {
		const attempt = this.#attempts.get(task.key);
		if (attempt === undefined) return undefined;
		if (attempt.cancelled || outcome.kind === 'cancelled') return this.#ended(attempt);
		if (outcome.kind === 'failed') return this.#fail(attempt, outcome.failure, outcome.message);
		attempt.stage = 'keeping';
		return void this.#keep(attempt, outcome);
	}

	/** Puts a result on disk; false when it could not be, or is not wanted any more, and that was told. */
	async #store(attempt: Attempt, record: OutboxRecord, bytes: Uint8Array): Promise<boolean> {
		try {
			await this.#options.outbox.put(record, bytes);
			this.trouble = '';
		} catch (error) {
			this.trouble = messageOf(error).replace(/\.$/, '');
			if (!attempt.cancelled && !(error instanceof OutboxError)) attempt.log.error({ err: error }, 'the result could not be kept');
			if (attempt.cancelled) this.#ended(attempt);
			else this.#fail(attempt, 'engine', messageOf(error));
			return false;
		}
		if (!attempt.cancelled) return true;
		await this.#options.outbox.remove(record).catch(() => undefined);
		this.#ended(attempt);
		return false;
	}

	/** One run of a benchmark: the next one follows in the same slot, until there are enough. */
	async #measured(attempt: Attempt, { meta, loadMs, totalMs }: Done): Promise<void> {
		const { spec } = attempt.frame;
		attempt.runs = [...(attempt.runs ?? []), runOf(meta, loadMs, totalMs)];
		const model = this.#options.model(spec.model);
		if (attempt.runs.length < runsWanted(spec) && model !== undefined) {
			attempt.stage = 'slot';
			const refusal = this.slots.run(attempt.slotId, this.#slotTask(attempt, model, {}));
			if (refusal !== undefined) this.#fail(attempt, 'engine', refusal);
			return undefined;
		}
		const report = benchmarkReport(spec, meta, attempt.runs);
		const denoiseMs = Number(report['sPerStep']) * 1000 * spec.steps;
		return this.#keepReport(attempt, report, { loadMs: attempt.runs[0]?.loadMs ?? 0, denoiseMs, totalMs });
	}

	async #keep(attempt: Attempt, outcome: Done): Promise<void> {
		const { png, meta } = outcome;
		if (attempt.frame.spec.taskType === 'RESEARCH') return this.#measured(attempt, outcome);
		const record = outboxRecord(attempt, png, meta);
		if (!(await this.#store(attempt, record, png))) return undefined;
		attempt.stage = 'uploading';
		const { loadMs, totalMs } = outcome;
		const denoiseMs = meta.timings['denoiseMs'];
		const timings = { loadMs, totalMs, ...(denoiseMs === undefined ? {} : { denoiseMs }) };
		this.#options.send({ t: 'generated', ...attempt.grant, slotId: attempt.slotId, ...timings, ...this.#isolation(attempt) });
		attempt.log.info({ ...meta.timings, bytes: png.length }, 'picture made');
		this.uploader.add(record, png);
		this.#wipe(attempt);
		return this.#options.onChange();
	}

	/** Wipes what the task had, and says what it used. Nothing of a task that never came into a slot. */
	#isolation(attempt: Attempt): { isolation?: Isolation } {
		const folder = this.#folder(attempt);
		const leftovers = wipeNow(folder);
		if (attempt.startedMs === 0) return {};
		const pid = this.slots.pidOf(attempt.slotId);
		const { startedMs, batch } = attempt;
		const used = { folder: basename(folder), startedMs, endedMs: Date.now(), leftovers };
		return { isolation: { ...used, ...(pid === undefined ? {} : { pid }), ...(batch === undefined ? {} : { batch }) } };
	}

	#uploaded(record: OutboxRecord, verdict: UploadVerdict, tries: number): void {
		const attempt = this.#attempts.get(attemptKey(record));
		const log = attempt?.log ?? this.#options.log.child({ ...grantOf(record), traceId: record.traceId });
		this.uploadProblem = verdict.kind === 'retry' ? verdict.why : '';
		if (verdict.kind === 'accepted') {
			this.done++;
			log.info({ tries: tries + 1 }, 'picture accepted');
		} else if (verdict.kind === 'retry') log.warn({ why: verdict.why, afterMs: verdict.afterMs }, 'upload is repeated');
		else {
			if (verdict.kind === 'refused') this.failed++;
			log.warn({ why: verdict.why, verdict: verdict.kind }, 'picture dropped');
		}
		if (verdict.kind !== 'retry' && attempt !== undefined) this.#end(attempt);
		this.#options.onChange();
	}

	#fail(attempt: Attempt, failure: FailureClass, sentence: string, more: Pick<FailedFrame, 'need' | 'fault'> = {}): void {
		const frame: FailedFrame = {
			t: 'failed',
			...attempt.grant,
			slotId: attempt.slotId,
			class: failure,
			message: sentence.slice(0, MESSAGE_CHARS),
			...this.#isolation(attempt),
			...more,
		};
		this.failed++;
		attempt.log.warn({ class: failure, message: sentence }, 'task failed');
		if (this.#options.send(frame)) return this.#end(attempt);
		attempt.stage = 'failed';
		attempt.untold = frame;
		return this.#options.onChange();
	}

	/** A cancelled task has stopped: its slot is free, which the gateway waits to hear. */
	#ended(attempt: Attempt): void {
		if (!attempt.abandoned) {
			this.#options.send({ t: 'failed', ...attempt.grant, slotId: attempt.slotId, class: 'engine', message: 'Cancelled.' });
		}
		this.#end(attempt);
	}

	#end(attempt: Attempt): void {
		this.#attempts.delete(attempt.key);
		this.#wipe(attempt);
		const { jobId } = attempt.grant;
		if (![...this.#attempts.values()].some((other) => other.grant.jobId === jobId)) this.#watched.delete(jobId);
		this.#options.onChange();
	}

	/** Tasks without input pictures have no folder. */
	#wipe(attempt: Attempt): void {
		if (attempt.frame.inputs.length > 0) void wipeFolder(this.#folder(attempt));
	}

	async #forgetUpload(ref: GrantRef): Promise<void> {
		await this.uploader.forget(outboxKey(ref));
		this.#options.onChange();
	}
}

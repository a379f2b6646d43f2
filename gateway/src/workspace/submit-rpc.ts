/**
 * Who calls, and what they submit: jobs and graphs of jobs.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { hasScope, refuse, shardOfJob, TIMING, type RateLimit, type Refusal, type Result } from '@limner/shared';
import type { JobRow, Principal, SubmitInput, SubmitOutput, WorkflowSubmitInput, WorkflowSubmitOutput } from '../rpc.ts';
import { decideWorkflow, knownDependencies, placeJob } from './graph.ts';
import { decideSubmit, toPoolJob } from './jobs.ts';
import { decideKey, UNKNOWN_KEY } from './keys.ts';
import { Resources } from './resources.ts';
import { isRestoring } from './restore.ts';
import { Store } from './store.ts';
import { TenancyObject } from './tenancy-rpc.ts';
import { principalOfKey } from './key-ring.ts';

export abstract class SubmitObject extends TenancyObject {
	async authenticate(ws: string, keyId: string, keyHash: string): Promise<Result<{ principal: Principal }>> {
		const answer = this.#authenticate(ws, keyId, keyHash);
		// Not in `submit`, whose rows are counted.
		if (answer.ok) this.keyRing.flushUses();
		return answer;
	}

	#authenticate(ws: string, keyId: string, keyHash: string): Result<{ principal: Principal }> {
		const other = this.store !== undefined && this.store.ws !== ws;
		if (other || (this.store?.deletingSince ?? null) !== null) return refuse('unauthorized', UNKNOWN_KEY);
		const decision = decideKey(this.store?.key(keyId), { keyId, keyHash }, this.config.bootstrapHash, Date.now());
		if (decision.kind === 'refused') return decision.refusal;
		const { key } = decision;
		if (decision.kind === 'bootstrap') {
			this.commit(() => {
				this.makeStore(ws).insertKey(key, Date.now());
			});
		}
		this.keyRing.touch(key, Date.now());
		return { ok: true, principal: principalOfKey(ws, key) };
	}

	/** The shard that gets all jobs of this workspace, for ever; `null` for a workspace that does not exist. */
	async homeShard(): Promise<number | null> {
		return this.store?.homeShard ?? null;
	}

	async submit(ws: string, input: SubmitInput): Promise<Result<SubmitOutput>> {
		const answer =
			input.caller === undefined ? this.#authenticate(ws, input.keyId, input.keyHash ?? '') : this.keyRing.principal(ws, input.caller);
		if (!answer.ok) return answer;
		const { models } = answer.principal;
		if (models !== undefined && !models.includes(input.spec.model)) {
			return refuse('model_forbidden', `the key may not use ${input.spec.model}; it may use: ${models.join(', ')}`);
		}
		if (!hasScope(answer.principal.scopes, 'jobs:write')) return refuse('forbidden', 'the key needs the scope jobs:write');
		if (isRestoring(this.mustStore())) return refuse('retry_later', 'the workspace is being restored', { retryAfterS: 30 });
		const submitted = this.#submit(this.mustStore(), this.#withLimits(input));
		if ('ok' in submitted) return submitted;
		if (!submitted.replayed) await this.arm(this.sweepAt ?? Date.now() + TIMING.reconcileOpenMs);
		return { ok: true, ...submitted, principal: answer.principal };
	}

	/** What the shard and a restart must know of a job's limits stands in its spec. */
	#withLimits(input: SubmitInput): SubmitInput {
		const { concurrent } = this.profiles.limits();
		const { allocationId } = input;
		if (concurrent === undefined && allocationId === undefined) return input;
		const extra = {
			...(concurrent === undefined ? {} : { maxConcurrent: concurrent }),
			...(allocationId === undefined ? {} : { allocationId }),
		};
		return { ...input, spec: { ...input.spec, ...extra } };
	}

	/** One synchronous turn: parallel submits with one Idempotency-Key find each other's row. */
	#submit(store: Store, input: SubmitInput): Refusal | Omit<SubmitOutput, 'principal'> {
		const now = Date.now();
		const { idempotency } = input;
		const find = (id: string): JobRow | undefined => store.job(id)?.row;
		const placed = placeJob(input.spec, find);
		if (!placed.ok) return placed;
		const decision = decideSubmit(
			{ ...input, spec: placed.spec },
			{
				ws: store.ws,
				shard: store.homeShard,
				openJobs: store.open.size,
				maxQueueDepth: this.profiles.limits().queued ?? this.config.maxQueueDepth,
				idem: idempotency && store.idem(idempotency.key, now),
				nowMs: store.mintMs(now),
				random: randomBytes(10),
			},
		);
		if (decision.kind === 'refused') return decision.refusal;
		const { row } = decision.job;
		const room = this.#room(store, input, decision.kind === 'replay');
		if (!room.ok) return room;
		if (decision.kind === 'insert') {
			this.commit(() => {
				store.insertJob(decision.job);
				if (idempotency !== undefined) store.insertIdem(idempotency.key, idempotency.bodyHash, row.id, now);
			});
			this.sweepAt ??= now + TIMING.reconcileOpenMs;
		}
		return {
			row,
			...(room.rateLimit === undefined ? {} : { rateLimit: room.rateLimit }),
			replayed: decision.kind === 'replay',
			shard: shardOfJob(row.id) ?? store.homeShard,
			...(placed.deps.length === 0 ? {} : { deps: placed.deps }),
		};
	}

	/** A replay opens nothing, so it needs no room, and was judged when it was new. */
	#room(store: Store, input: SubmitInput, isReplay: boolean): ReturnType<Resources['check']> {
		return isReplay ? { ok: true } : (input.refusal ?? this.resources.check(store, input));
	}

	async submitWorkflow(ws: string, input: WorkflowSubmitInput): Promise<Result<WorkflowSubmitOutput>> {
		const answer =
			input.caller === undefined ? this.#authenticate(ws, input.keyId, input.keyHash ?? '') : this.keyRing.principal(ws, input.caller);
		if (!answer.ok) return answer;
		const { models } = answer.principal;
		const forbidden = input.jobs.find((job) => models?.includes(job.spec.model) === false)?.spec.model;
		if (forbidden !== undefined)
			return refuse('model_forbidden', `the key may not use ${forbidden}; it may use: ${models?.join(', ') ?? ''}`);
		if (!hasScope(answer.principal.scopes, 'jobs:write')) return refuse('forbidden', 'the key needs the scope jobs:write');
		const submitted = this.#submitWorkflow(this.mustStore(), input, answer.principal.weight);
		if ('ok' in submitted) return submitted;
		if (!submitted.replayed) await this.arm(this.sweepAt ?? Date.now() + TIMING.reconcileOpenMs);
		return { ok: true, ...submitted, principal: answer.principal };
	}

	/** One synchronous turn and one commit: all jobs of the graph exist, or none. */
	#submitWorkflow(store: Store, input: WorkflowSubmitInput, weight: number): Refusal | Omit<WorkflowSubmitOutput, 'principal'> {
		const now = Date.now();
		const { idempotency, keyId } = input;
		const find = (id: string): JobRow | undefined => store.job(id)?.row;
		const { concurrent, queued } = this.profiles.limits();
		const limited =
			concurrent === undefined ? input.jobs : input.jobs.map((job) => ({ ...job, spec: { ...job.spec, maxConcurrent: concurrent } }));
		const decision = decideWorkflow(
			{ ...input, jobs: limited },
			{
				ws: store.ws,
				shard: store.homeShard,
				openJobs: store.open.size,
				maxQueueDepth: queued ?? this.config.maxQueueDepth,
				idem: idempotency && store.idem(idempotency.key, now),
				nowMs: store.mintMs(now),
				random: () => randomBytes(10),
				find,
			},
			(id) => store.job(id),
		);
		if (decision.kind === 'refused') return decision.refusal;
		let rateLimit: RateLimit | undefined;
		if (decision.kind === 'insert') {
			if (input.refusal !== undefined) return input.refusal;
			const room = this.resources.checkAll(
				store,
				keyId,
				decision.jobs.map(({ row }) => row.spec),
			);
			if (!room.ok) return room;
			({ rateLimit } = room);
			this.commit(() => {
				for (const job of decision.jobs) store.insertJob(job);
				const [first] = decision.jobs;
				if (idempotency !== undefined && first !== undefined) store.insertIdem(idempotency.key, idempotency.bodyHash, first.row.id, now);
			});
			this.sweepAt ??= now + TIMING.reconcileOpenMs;
		}
		return {
			jobs: decision.jobs.map((job) => toPoolJob(job, weight, knownDependencies(job.row.spec, find))),
			rows: decision.jobs.map(({ row }) => row),
			replayed: decision.kind === 'replay',
			shard: store.homeShard,
			...(rateLimit === undefined ? {} : { rateLimit }),
		};
	}
}

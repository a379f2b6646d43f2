/**
 * Plays a plan against the running system: submits, cancels, breaks, mends.
 * @module
 */
import type { TestGateway } from '../lib/gateway.ts';
import { sleep } from '../lib/until.ts';
import type { SubmittedJob } from './audit.ts';
import type { Machine } from './machine.ts';
import type { AppliedFault } from './regrant.ts';
import type { ChaosJob, ChaosPlan, Fault, TimedFault } from './schedule.ts';

export interface Tenant {
	ws: string;
	key: string;
}

const RETRY_MS = 200;
const ANSWER_MS = 20_000;
const SOCKET_WAIT_MS = 20_000;
/** As an operator would who looks now and then: a node that failed five times waits for a person. */
const RESUME_EVERY_MS = 10_000;

export class Storm {
	readonly #gateway: TestGateway;
	readonly #machines: Machine[];
	readonly #tenants: Tenant[];
	readonly submitted: SubmittedJob[] = [];
	readonly applied: AppliedFault[] = [];
	/** Faults that found nothing to break, by kind. */
	readonly notes: string[] = [];
	readonly #pending = new Set<Promise<void>>();
	#crashing: Promise<void> = Promise.resolve();
	#over = false;

	constructor(gateway: TestGateway, machines: Machine[], tenants: Tenant[]) {
		this.#gateway = gateway;
		this.#machines = machines;
		this.#tenants = tenants;
	}

	async #call(tenant: Tenant, method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
		return fetch(`${this.#gateway.url}${path}`, {
			method,
			headers: { authorization: `Bearer ${tenant.key}`, 'content-type': 'application/json', ...headers },
			signal: AbortSignal.timeout(ANSWER_MS),
			...(body === undefined ? {} : { body: JSON.stringify(body) }),
		});
	}

	/** Repeats while the gateway is away or busy, as a careful client does. */
	async #insist(tenant: Tenant, method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Response> {
		for (;;) {
			try {
				const response = await this.#call(tenant, method, path, body, headers);
				if (response.status < 500 && response.status !== 429) return response;
				await response.arrayBuffer();
			} catch {
				// Nobody listens at the moment, or the answer was cut off.
			}
			await sleep(RETRY_MS);
		}
	}

	async #submit(job: ChaosJob): Promise<void> {
		const tenant = this.#tenants[job.ws];
		if (tenant === undefined) throw new RangeError(`no workspace ${job.ws}`);
		const response = await this.#insist(tenant, 'POST', '/api/v1/jobs', job.body, { 'idempotency-key': job.key });
		const answer = (await response.json()) as { id: string };
		if (response.status !== 202) throw new Error(`a job was refused with ${response.status}: ${JSON.stringify(answer)}`);
		const record: SubmittedJob = { id: answer.id, ws: tenant.ws, n: Number(job.body['n'] ?? 1) };
		this.submitted.push(record);
		if (job.cancelAfterMs === undefined) return;
		await sleep(job.cancelAfterMs);
		const canceled = await this.#insist(tenant, 'POST', `/api/v1/jobs/${record.id}/cancel`);
		const view = (await canceled.json().catch(() => ({}))) as { state?: string };
		if (canceled.ok && view.state === 'canceled') record.canceledAt = Date.now();
	}

	/** Undoes a fault after its time; answers what was done. */
	async #hurt(fault: Fault, machine: Machine): Promise<void> {
		switch (fault.kind) {
			case 'kill':
				machine.kill(fault.family);
				await sleep(fault.downMs);
				return machine.start();
			case 'stop':
				machine.freeze();
				await sleep(fault.downMs);
				return machine.thaw();
			case 'halfOpen':
				machine.disconnect(true);
				await sleep(fault.downMs);
				return machine.disconnect(false);
			case 'fullDisk':
				machine.fillDisk(true);
				if (!machine.diskIsFull) this.notes.push('a disk could not be filled');
				await sleep(fault.downMs);
				return machine.fillDisk(false);
			default:
				return this.#prick(fault, machine);
		}
	}

	/** There must be a socket to drop: it may be down for another reason. */
	async #drop(machine: Machine, reset: boolean): Promise<void> {
		for (let waited = 0; machine.proxy.sockets === 0 && waited < SOCKET_WAIT_MS; waited += RETRY_MS) await sleep(RETRY_MS);
		const { nodeId } = machine;
		const at = Date.now();
		if (machine.proxy.drop(reset) === 0) this.notes.push('a socket to be dropped was down');
		else this.applied.push({ kind: 'drop', at, ...(nodeId === undefined ? {} : { nodeId }) });
	}

	#prick(fault: Fault, machine: Machine): void {
		if (fault.kind === 'badUploads') machine.proxy.spoil(fault.uploads, fault.how);
		if (fault.kind === 'clock') machine.jumpClock(fault.byMs);
	}

	#apply(fault: TimedFault): void {
		if (fault.kind === 'gateway') {
			// A gateway that is still starting is not killed again: each kill must hit a running one.
			this.#crashing = this.#crash(this.#crashing);
			this.#track(this.#crashing);
			return;
		}
		const machine = this.#machines[fault.node];
		if (machine === undefined) return;
		if (fault.kind === 'drop') return this.#track(this.#drop(machine, fault.reset));
		const { nodeId } = machine;
		const downMs = 'downMs' in fault ? { downMs: fault.downMs } : {};
		this.applied.push({ kind: fault.kind, at: Date.now(), ...(nodeId === undefined ? {} : { nodeId }), ...downMs });
		this.#track(this.#hurt(fault, machine));
	}

	async #crash(before: Promise<void>): Promise<void> {
		await before;
		if (this.#over) return;
		this.applied.push({ kind: 'gateway', at: Date.now() });
		await this.#gateway.crash();
	}

	#track(work: Promise<void>): void {
		this.#pending.add(work);
		void work.finally(() => this.#pending.delete(work)).catch(() => undefined);
	}

	/** Sets nodes going again that the gateway has set aside, and processes that have ended. */
	async resumeAll(): Promise<void> {
		const owner = this.#tenants[0];
		if (owner === undefined) return;
		const response = await this.#call(owner, 'GET', '/api/v1/supervisor/workers').catch(() => undefined);
		if (response?.ok !== true) return;
		const { data } = (await response.json()) as { data: { id: string; mode: string }[] };
		for (const worker of data) {
			if (worker.mode === 'active') continue;
			await this.#call(owner, 'POST', `/api/v1/supervisor/workers/${worker.id}/resume`, {}).catch(() => undefined);
		}
	}

	async #operator(): Promise<void> {
		while (!this.#over) {
			await sleep(RESUME_EVERY_MS);
			await this.resumeAll();
		}
	}

	/** From the first job to the end of the last fault. */
	async run(plan: ChaosPlan): Promise<void> {
		const begin = Date.now();
		const operator = this.#operator();
		const events = [
			...plan.faults.map((fault) => ({ atMs: fault.atMs, act: () => this.#apply(fault) })),
			...plan.jobs.map((job) => ({ atMs: job.atMs, act: () => this.#track(this.#submit(job)) })),
		].toSorted((a, b) => a.atMs - b.atMs);
		for (const event of events) {
			await sleep(Math.max(0, begin + event.atMs - Date.now()));
			event.act();
		}
		while (this.#pending.size > 0) await Promise.all(this.#pending);
		this.#over = true;
		await operator;
	}
}

/**
 * What surrounds the pool in the gateway: the Workspaces' rows and the bucket. They decide with the production
 * functions; only storage and calls are simulated.
 * @module
 */
import { isTerminal, type ImageRecord, type JobState } from '@limner/shared';
import type { CompleteOutcome, JobRow, KnownDependency, PoolJob, Settlement } from '../../rpc.ts';
import { isUnwanted, leftover } from '../../storage/upload.ts';
import { decideSettle } from '../../workspace/jobs.ts';

const isOver = (state: JobState): boolean => isTerminal('job', state);

export class Cloud {
	readonly rows = new Map<string, JobRow>();
	/** Keys in the bucket. */
	readonly objects = new Set<string>();
	/** Pictures charged, by workspace. Only a settlement that applied moves it. */
	readonly charged = new Map<string, number>();
	/** Open jobs, by workspace: what a workspace's limits count. */
	readonly open = new Map<string, number>();

	submit(job: PoolJob): void {
		const { id, ws, spec, createdAt, warnings } = job;
		this.rows.set(id, { id, ws, state: 'queued', spec, createdAt, images: [], hist: [], warnings });
		this.open.set(ws, (this.open.get(ws) ?? 0) + 1);
	}

	/** What a hand-over tells of a job that another one depends on. */
	known(jobId: string): KnownDependency[] {
		const row = this.rows.get(jobId);
		return row === undefined ? [] : [{ id: jobId, state: row.state, images: row.images.map(({ index, key }) => ({ index, key })) }];
	}

	isOpen(jobId: string): boolean {
		const row = this.rows.get(jobId);
		return row !== undefined && !isOver(row.state);
	}

	settle(batch: readonly Settlement[]): void {
		for (const settlement of batch) {
			const before = this.rows.get(settlement.jobId);
			const decision = decideSettle(before, settlement);
			if (decision.outcome === 'unknown') throw new Error(`invariant: ${settlement.jobId} is settled and nobody submitted it`);
			if (decision.outcome === 'already') {
				// What comes again says the same: values are absolute and a job that ended never changes.
				if (before?.state !== settlement.state || before.images.length !== settlement.images.length)
					throw new Error(`invariant: ${settlement.jobId} settles twice, differently`);
				continue;
			}
			const { ws, usage, jobId } = settlement;
			if (before !== undefined && isOver(before.state)) throw new Error(`invariant: ${jobId} is charged twice`);
			this.rows.set(jobId, decision.row);
			this.open.set(ws, (this.open.get(ws) ?? 0) - 1);
			this.charged.set(ws, (this.charged.get(ws) ?? 0) + usage.images);
		}
	}

	resultKey(jobId: string, index: number): { state: JobState | 'unknown'; key?: string } {
		const row = this.rows.get(jobId);
		if (row === undefined) return { state: 'unknown' };
		const image = row.images.find((each) => each.index === index);
		return { state: row.state, ...(image === undefined ? {} : { key: image.key }) };
	}

	/** The Pool does not know the job: what its Workspace says. */
	ask(image: ImageRecord, jobId: string): CompleteOutcome {
		const found = this.resultKey(jobId, image.index);
		if (found.state === 'unknown') return 'gone';
		if (found.key === image.key) return 'accepted';
		return isOver(found.state) ? 'stale' : 'retry';
	}

	/** Create-only: answers whether the object is new. */
	put(key: string): boolean {
		const created = !this.objects.has(key);
		this.objects.add(key);
		return created;
	}

	/** What becomes of the object after the Pool's answer. */
	clean(image: ImageRecord, jobId: string, outcome: CompleteOutcome, created: boolean): void {
		const what = leftover(outcome, created);
		if (what === 'keep') return;
		if (what === 'confirm' && !isUnwanted(this.resultKey(jobId, image.index), image.key, isOver)) return;
		this.objects.delete(image.key);
	}
}

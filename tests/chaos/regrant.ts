/**
 * How long it took from a fault until what its victim was working on was granted elsewhere, read from the histories
 * that the gateway wrote. Grants are stamped by the gateway, faults by this process; both use this machine's clock.
 * @module
 */
import type { HistEntry } from '@limner/shared';
import type { FaultKind } from './schedule.ts';

export interface AppliedFault {
	kind: FaultKind;
	/** Milliseconds since the epoch, just before it was done. */
	at: number;
	/** The node that it hit. */
	nodeId?: string;
	/** How long the victim was silent. */
	downMs?: number;
}

export interface Regrant {
	fault: AppliedFault;
	jobId: string;
	index: number;
	/** Milliseconds from the fault to the next grant; `null` = the holder kept its grant. */
	afterMs: number | null;
	/** Something else hit the same node, or the gateway, before the next grant: the time says nothing about this fault. */
	mixed: boolean;
}

/** A gateway that has just started waits this long for the nodes of before. */
const REBUILD_MS = 15_000;

interface Holding {
	nodeId: string;
	place: number;
}

/** What of the task's history stood at a time. */
const holderAt = (hist: readonly HistEntry[], at: number): Holding | undefined => {
	let holding: Holding | undefined;
	for (const [place, entry] of hist.entries()) {
		if (entry.at > at) break;
		if (entry.type === 'assigned' && entry.nodeId !== undefined) holding = { nodeId: entry.nodeId, place };
		else if (entry.type !== 'queued') holding = undefined;
	}
	return holding;
};

/** Entries of one task, with those of the whole job. */
const ofTask = (hist: readonly HistEntry[], index: number): HistEntry[] =>
	hist.filter((entry) => entry.index === undefined || entry.index === index);

/** Whether another fault had a part in how long it took. */
const interferes = (other: AppliedFault, fault: AppliedFault, afterMs: number): boolean => {
	if (other.kind === 'gateway') return other.at > fault.at - REBUILD_MS && other.at < fault.at + afterMs;
	return other.nodeId === fault.nodeId && other.at > fault.at && other.at < fault.at + afterMs;
};

/** All tasks that a fault caught at work, and what became of them. */
export const regrants = (jobs: readonly { id: string; hist: HistEntry[] }[], faults: readonly AppliedFault[]): Regrant[] =>
	jobs.flatMap((job) =>
		[...new Set(job.hist.flatMap((entry) => (entry.index === undefined ? [] : [entry.index])))].flatMap((index) => {
			const hist = ofTask(job.hist, index);
			return faults.flatMap((fault): Regrant[] => {
				const holding = fault.nodeId === undefined ? undefined : holderAt(hist, fault.at);
				if (holding === undefined || holding.nodeId !== fault.nodeId) return [];
				const next = hist.slice(holding.place + 1).find((entry) => entry.type !== 'requeued');
				const afterMs = next?.type === 'assigned' ? next.at - fault.at : null;
				const mixed = afterMs !== null && faults.some((other) => other !== fault && interferes(other, fault, afterMs));
				return [{ fault, jobId: job.id, index, afterMs, mixed }];
			});
		}),
	);

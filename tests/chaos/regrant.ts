/**
 * How long it took from a fault until what its victim was working on was granted elsewhere, read from the histories
 * that the gateway wrote. Grants are stamped by the gateway, faults by this process; both use this machine's clock.
 * @module
 */
import type { HistEntry } from '@limner/shared';
import type { FaultKind } from './schedule.ts';

interface Job {
	id: string;
	hist: HistEntry[];
}

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
	/** The slot that it was granted to was taken, or its node away, at some time in between: part of the time is the wait for it. */
	waited: boolean;
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

interface Use {
	jobId: string;
	index: number;
	from: number;
	to: number;
}

const slotName = ({ nodeId, slotId }: HistEntry): string => `${nodeId}/${slotId}`;

/** What slots worked on, as the histories tell. A slot is free a little before its picture is stored, so ends are late rather than early. */
const usesOf = (jobs: readonly Job[]): Map<string, Use[]> => {
	const uses = new Map<string, Use[]>();
	for (const job of jobs) {
		for (const [place, entry] of job.hist.entries()) {
			const { type, index, at } = entry;
			if (type !== 'assigned' || index === undefined) continue;
			const next = job.hist.slice(place + 1).find((later) => later.index === undefined || later.index === index);
			const use = { jobId: job.id, index, from: at, to: next?.at ?? Number.POSITIVE_INFINITY };
			uses.set(slotName(entry), [...(uses.get(slotName(entry)) ?? []), use]);
		}
	}
	return uses;
};

/** A node that was started again has to load and to connect. */
const START_MS = 4000;

const wasTaken = (uses: readonly Use[], own: HistEntry, jobId: string, since: number): boolean =>
	uses.some((use) => (use.jobId !== jobId || use.index !== own.index) && use.from < own.at && use.to > since);

const wasAway = (faults: readonly AppliedFault[], own: HistEntry, since: number): boolean =>
	faults.some(({ nodeId, at, downMs = 0 }) => nodeId === own.nodeId && at < own.at && at + downMs + START_MS > since);

/** All tasks that a fault caught at work, and what became of them. */
export const regrants = (jobs: readonly Job[], faults: readonly AppliedFault[]): Regrant[] => {
	const uses = usesOf(jobs);
	return jobs.flatMap((job) =>
		[...new Set(job.hist.flatMap((entry) => (entry.index === undefined ? [] : [entry.index])))].flatMap((index) => {
			const hist = ofTask(job.hist, index);
			return faults.flatMap((fault): Regrant[] => {
				const holding = fault.nodeId === undefined ? undefined : holderAt(hist, fault.at);
				if (holding === undefined || holding.nodeId !== fault.nodeId) return [];
				const next = hist.slice(holding.place + 1).find((entry) => entry.type !== 'requeued');
				const afterMs = next?.type === 'assigned' ? next.at - fault.at : null;
				const mixed = afterMs !== null && faults.some((other) => other !== fault && interferes(other, fault, afterMs));
				const waited =
					next?.type === 'assigned' &&
					(wasTaken(uses.get(slotName(next)) ?? [], next, job.id, fault.at) || wasAway(faults, next, fault.at));
				return [{ fault, jobId: job.id, index, afterMs, mixed, waited }];
			});
		}),
	);
};

/**
 * Whether tasks kept apart: from what each node reported of each task, never from what ought to be. Pure.
 * @module
 */
import type { IsolationRecord } from '../../rpc.ts';

export interface Violation {
	kind: 'slot' | 'folder' | 'process' | 'leftover';
	nodeId: string;
	/** `<job>.<index>` with its epoch after a `#`. */
	tasks: string[];
	detail: string;
}

export interface IsolationReport {
	ok: boolean;
	/** Tasks that were looked at. */
	tasks: number;
	nodes: number;
	/** Tasks that worked together on purpose: pictures made as one batch. */
	batched: number;
	violations: Violation[];
}

const nameOf = ({ jobId, index, epoch }: IsolationRecord): string => `${jobId}.${index}#${epoch}`;

/** Pictures that a slot began in one turn: the scheduler grants them together. */
const oneBatch = (a: IsolationRecord, b: IsolationRecord): boolean => a.batch !== undefined && a.batch === b.batch && a.bootId === b.bootId;

const RESOURCES: readonly { kind: Violation['kind']; of: (record: IsolationRecord) => string; word: string }[] = [
	{ kind: 'slot', of: (record) => record.slotId, word: 'slot' },
	{ kind: 'folder', of: (record) => record.folder, word: 'temporary folder' },
	{ kind: 'process', of: (record) => String(record.pid ?? ''), word: 'process' },
];

/** Pairs of one node that used one thing at the same time. */
const overlapsOf = (records: readonly IsolationRecord[], resource: (typeof RESOURCES)[number]): Violation[] => {
	const found: Violation[] = [];
	for (const [value, users] of Map.groupBy(records, resource.of)) {
		if (value === '') continue;
		const sorted = users.toSorted((a, b) => a.startedMs - b.startedMs);
		for (const [i, a] of sorted.entries()) {
			for (const b of sorted.slice(i + 1)) {
				if (b.startedMs >= a.endedMs) break;
				// A batch shares slot and process, and nothing else.
				if (resource.kind !== 'folder' && oneBatch(a, b)) continue;
				const detail = `both used the ${resource.word} ${value} between ${new Date(b.startedMs).toISOString()} and ${new Date(Math.min(a.endedMs, b.endedMs)).toISOString()}`;
				found.push({ kind: resource.kind, nodeId: a.nodeId, tasks: [nameOf(a), nameOf(b)], detail });
			}
		}
	}
	return found;
};

const leftoversOf = (records: readonly IsolationRecord[]): Violation[] =>
	records
		.filter(({ leftovers }) => leftovers > 0)
		.map((record) => ({
			kind: 'leftover',
			nodeId: record.nodeId,
			tasks: [nameOf(record)],
			detail: `${record.leftovers} files were left in ${record.folder} after the task`,
		}));

/** The report over all records. Times of different nodes are never compared: their clocks differ. */
export const isolationReport = (records: readonly IsolationRecord[]): IsolationReport => {
	const violations: Violation[] = [];
	const byNode = Map.groupBy(records, (record) => record.nodeId);
	for (const ofNode of byNode.values()) {
		for (const resource of RESOURCES) violations.push(...overlapsOf(ofNode, resource));
		violations.push(...leftoversOf(ofNode));
	}
	const batches = Map.groupBy(records, ({ bootId, batch = '' }) => `${bootId}|${batch}`);
	const batched = [...batches].reduce((sum, [key, members]) => sum + (key.endsWith('|') || members.length < 2 ? 0 : members.length), 0);
	return { ok: violations.length === 0, tasks: records.length, nodes: byNode.size, batched, violations };
};

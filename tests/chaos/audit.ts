/**
 * The auditor: judges what a run left behind by rows, stored bytes and processes alone. It asks the gateway nothing.
 * Pure; `evidence.ts` collects.
 * @module
 */
import { createHash } from 'node:crypto';
import type { HistEntry, ImageRecord } from '@limner/shared';

export interface SubmittedJob {
	id: string;
	ws: string;
	n: number;
	/** When the gateway said yes to a cancel. */
	canceledAt?: number;
}

export interface JobEvidence {
	id: string;
	ws: string;
	state: string;
	images: ImageRecord[];
	usage: { images: number; megapixelSteps: number } | null;
	hist: HistEntry[];
	error: { class: string; message: string } | null;
}

export interface LedgerEvidence {
	ws: string;
	seq: number;
	prev: string;
	hash: string;
	totals: { images: number; megapixelSteps: number; settledJobs: number };
	entries: { type: string; job?: string; state?: string; usage?: { images: number; megapixelSteps: number } }[];
}

export interface ObjectEvidence {
	key: string;
	bytes: number;
	/** Hex, of the bytes on the disk. */
	sha256: string;
}

export interface Evidence {
	submitted: SubmittedJob[];
	jobs: JobEvidence[];
	ledger: LedgerEvidence[];
	objects: ObjectEvidence[];
	/** Rows that the pool keeps; `open` ones belong to unfinished jobs. */
	live: { id: string; state: string }[];
	/** Files waiting in the outbox of a node. */
	outboxes: { node: string; files: string[] }[];
	/** Processes of the run that nobody owns any more. */
	orphans: { pid: number; command: string }[];
}

const TERMINAL: ReadonlySet<string> = new Set(['succeeded', 'failed', 'canceled', 'expired']);
/** Four attempts that fail by themselves, and three losses. */
const MAX_EPOCHS = 7;

type Find = (violation: string) => void;

const checkJobs = ({ submitted, jobs }: Evidence, find: Find): void => {
	const byId = new Map(jobs.map((job) => [job.id, job]));
	if (byId.size !== jobs.length) find(`${jobs.length - byId.size} jobs have more than one row`);
	const asked = new Set(submitted.map((job) => job.id));
	for (const job of jobs) if (!asked.has(job.id)) find(`${job.id} has a row, and nobody submitted it`);
	for (const wanted of submitted) {
		const job = byId.get(wanted.id);
		if (job === undefined) find(`${wanted.id} was accepted and has no row`);
		else if (!TERMINAL.has(job.state)) find(`${job.id} is still ${job.state}`);
		else checkEnding(job, wanted, find);
	}
};

const checkEnding = (job: JobEvidence, wanted: SubmittedJob, find: Find): void => {
	const indexes = job.images.map((image) => image.index);
	if (new Set(indexes).size !== indexes.length) find(`${job.id} lists a picture twice`);
	if (job.state === 'succeeded' && indexes.length !== wanted.n) find(`${job.id} succeeded with ${indexes.length} of ${wanted.n} pictures`);
	if (job.state === 'failed' && job.error === null) find(`${job.id} failed without a reason`);
	if (job.usage?.images !== job.images.length) find(`${job.id} is charged ${job.usage?.images} and has ${job.images.length} pictures`);
	if (wanted.canceledAt !== undefined && job.state === 'succeeded') find(`${job.id} was canceled and succeeded`);
	checkHistory(job, find);
};

/** Epochs of a task go 1, 2, 3 … and stay few, and it is granted no more once its picture is there. */
const checkTask = (name: string, hist: readonly HistEntry[], find: Find): void => {
	let epoch = 0;
	let pictures = 0;
	for (const entry of hist) {
		if (entry.type === 'image') pictures++;
		if (entry.type !== 'assigned') continue;
		if (entry.epoch !== epoch + 1) find(`${name} goes to epoch ${entry.epoch} instead of ${epoch + 1}`);
		if (pictures > 0) find(`${name} is granted again although its picture is there`);
		epoch = entry.epoch ?? epoch + 1;
	}
	if (pictures > 1) find(`${name} got ${pictures} pictures`);
	if (epoch > MAX_EPOCHS) find(`${name} was granted ${epoch} times`);
};

const checkHistory = (job: JobEvidence, find: Find): void => {
	const indexes = new Set(job.hist.flatMap((entry) => entry.index ?? []));
	for (const index of indexes)
		checkTask(
			`${job.id}/${index}`,
			job.hist.filter((entry) => entry.index === index),
			find,
		);
	const endings = job.hist.filter((entry) => TERMINAL.has(entry.type));
	if (endings.length !== 1 || job.hist.at(-1) !== endings[0]) find(`${job.id} ended ${endings.length} times, or went on after its end`);
};

const checkObjects = ({ jobs, objects }: Evidence, find: Find): void => {
	const stored = new Map(objects.map((object) => [object.key, object]));
	const wanted = new Map<string, string>();
	for (const job of jobs) {
		for (const image of job.images) {
			if (wanted.has(image.key)) find(`${image.key} is the picture of two tasks`);
			wanted.set(image.key, job.id);
			const object = stored.get(image.key);
			if (object === undefined) find(`${job.id}/${image.index}: its object ${image.key} is missing`);
			else if (object.sha256 !== image.sha256 || object.bytes !== image.bytes) find(`${image.key} is not the picture that was accepted`);
		}
	}
	for (const { key } of objects) if (!wanted.has(key)) find(`${key} is stored and belongs to no picture`);
};

const round3 = (value: number): number => Math.round(value * 1000) / 1000;

const checkChain = (ws: string, rows: LedgerEvidence[], find: Find): void => {
	let prev = '0'.repeat(64);
	for (const [place, row] of rows.entries()) {
		if (row.seq !== place + 1) find(`ledger of ${ws}: row ${row.seq} stands at place ${place + 1}`);
		if (row.prev !== prev) find(`ledger of ${ws}: the chain breaks at row ${row.seq}`);
		prev = row.hash;
	}
};

/** Pictures charged by job, from the settlements of a ledger. */
const settledIn = (rows: readonly LedgerEvidence[], find: Find): Map<string, number> => {
	const settled = new Map<string, number>();
	for (const entry of rows.flatMap((row) => row.entries)) {
		if (entry.type !== 'settle' || entry.job === undefined) continue;
		if (settled.has(entry.job)) find(`${entry.job} is settled twice in the ledger`);
		settled.set(entry.job, entry.usage?.images ?? 0);
	}
	return settled;
};

const checkTotals = (ws: string, own: readonly JobEvidence[], totals: LedgerEvidence['totals'] | undefined, find: Find): void => {
	const pictures = own.reduce((sum, job) => sum + job.images.length, 0);
	const work = round3(own.reduce((sum, job) => sum + (job.usage?.megapixelSteps ?? 0), 0));
	if (totals?.images !== pictures) find(`usage of ${ws} is ${totals?.images} pictures, ${pictures} were made`);
	if (totals?.megapixelSteps !== work) find(`usage of ${ws} is ${totals?.megapixelSteps} megapixel-steps, its jobs sum up to ${work}`);
	if (totals?.settledJobs !== own.length) find(`${totals?.settledJobs} jobs of ${ws} are settled, it has ${own.length}`);
};

const checkLedger = ({ jobs, ledger }: Evidence, find: Find): void => {
	for (const ws of new Set(jobs.map((job) => job.ws))) {
		const rows = ledger.filter((row) => row.ws === ws).toSorted((a, b) => a.seq - b.seq);
		checkChain(ws, rows, find);
		const settled = settledIn(rows, find);
		const own = jobs.filter((job) => job.ws === ws);
		for (const { id, images } of own)
			if (settled.get(id) !== images.length) find(`${id}: the ledger charges ${settled.get(id)} for ${images.length} pictures`);
		checkTotals(ws, own, rows.at(-1)?.totals, find);
	}
};

const checkLeftovers = ({ live, outboxes, orphans }: Evidence, find: Find): void => {
	for (const row of live) if (row.state !== 'done') find(`the pool still holds ${row.id} as ${row.state}`);
	for (const { node, files } of outboxes) if (files.length > 0) find(`the outbox of ${node} still holds ${files.join(', ')}`);
	for (const { pid, command } of orphans) find(`process ${pid} is left over: ${command}`);
};

/** Everything that is wrong, in sentences. */
export const audit = (evidence: Evidence): string[] => {
	const violations: string[] = [];
	const find: Find = (violation) => violations.push(violation);
	checkJobs(evidence, find);
	checkObjects(evidence, find);
	checkLedger(evidence, find);
	checkLeftovers(evidence, find);
	return violations;
};

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

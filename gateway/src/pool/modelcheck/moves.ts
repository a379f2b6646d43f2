/**
 * What can happen next in a system: what the parties do by themselves, and faults, of which there are only so many.
 * @module
 */
import { timeless } from './canon.ts';
import { mayMissSource } from './care.ts';
import { FAR_MS, bareOf, evict, hangUp, isDone, join, pool, say, upload, withCloud, type ModelNode, type System } from './system.ts';

export interface Move {
	name: string;
	fault: boolean;
	/** Changes a copy of the system. */
	run(system: System): void;
}

const WS = 'acme';
const NOT_AFTER = FAR_MS;

/** What the pool expects of a mock engine before it has measured, so that measuring changes no choice. */
const EXPECTED_MS = 3.2768;

type Act = (system: System, dies: boolean) => void;

/** A move of the pool, and the same with the pool dying after the commit. */
const both = (name: string, run: Act): Move[] => [
	{ name, fault: false, run: (system) => run(system, false) },
	{ name: `${name}; the pool dies after its commit`, fault: true, run: (system) => run(system, true) },
];
const fault = (name: string, run: Act): Move => ({ name, fault: true, run: (system) => run(system, false) });

const nodeAt = (system: System, i: number): ModelNode => system.nodes[i] as ModelNode;
const finish = (node: ModelNode): void => {
	const work = node.running;
	if (work === null) return;
	node.running = null;
	node.outbox.push(bareOf(work));
	say(node, { t: 'generated', ...bareOf(work), slotId: work.slotId, loadMs: 0, denoiseMs: EXPECTED_MS, totalMs: EXPECTED_MS });
};

const send = (system: System, i: number, dies: boolean, answerLost: boolean): void => {
	const node = nodeAt(system, i);
	const ref = node.outbox[0];
	if (ref === undefined) return;
	const outcome = upload(system, node, ref, dies);
	if (outcome !== undefined && outcome !== 'retry' && !answerLost) node.outbox.shift();
};

const closeSocket = (system: System, node: ModelNode): void => {
	const { connId } = node;
	hangUp(node);
	if (connId !== null) pool(system, 'closed', { connId }, false);
};

/** What a node does by itself. */
const nodeMoves = (node: ModelNode, i: number): Move[] => {
	const name = node.identity.name;
	const moves: Move[] = [];
	if (node.connId === null && node.deafAt === null)
		moves.push(...both(`${name} connects`, (system, dies) => join(system, nodeAt(system, i), dies)));
	const [up] = node.up;
	if (up !== undefined)
		moves.push(
			...both(`${name} says ${up.t}`, (system, dies) => {
				const { connId, up: frames } = nodeAt(system, i);
				const frame = frames.shift();
				if (frame !== undefined && connId !== null) pool(system, 'frame', { connId, frame }, dies);
			}),
		);
	if (node.running !== null && node.up.length === 0)
		moves.push({ name: `${name} finishes its picture`, fault: false, run: (system) => finish(nodeAt(system, i)) });
	if (node.outbox.length > 0) moves.push(...both(`${name} uploads`, (system, dies) => send(system, i, dies, false)));
	if (node.deafAt !== null)
		moves.push({
			name: `${name} notices that its link is dead`,
			fault: false,
			run: (system) => {
				const woken = nodeAt(system, i);
				woken.deafAt = null;
				hangUp(woken);
			},
		});
	return moves;
};

const nodeFaults = (node: ModelNode, i: number): Move[] => {
	const name = node.identity.name;
	const moves: Move[] = [];
	if (node.outbox.length > 0) moves.push(fault(`${name} uploads; the answer is lost`, (system) => send(system, i, false, true)));
	if (node.running !== null)
		moves.push(
			fault(`${name} fails`, (system) => {
				const failing = nodeAt(system, i);
				const work = failing.running;
				failing.running = null;
				if (work !== null) say(failing, { t: 'failed', ...bareOf(work), slotId: work.slotId, class: 'engine', message: 'it broke' });
			}),
		);
	if (node.connId === null || node.deafAt !== null) return moves;
	return [
		...moves,
		fault(`${name} loses its connection`, (system) => closeSocket(system, nodeAt(system, i))),
		fault(`${name} is killed`, (system) => {
			nodeAt(system, i).running = null;
			closeSocket(system, nodeAt(system, i));
		}),
		fault(`the link of ${name} goes dead`, (system) => {
			const deaf = nodeAt(system, i);
			deaf.deafAt = system.now;
			deaf.up = [];
		}),
	];
};

/** The model source is out of reach just when a node asks it. */
const sourceFaults = ({ pool: { jobs }, nodes }: System): Move[] =>
	nodes.flatMap(({ identity, running }, i) => {
		if (running === null || !mayMissSource(jobs, running)) return [];
		return fault(`${identity.name} cannot reach the model source`, (system) => {
			const node = nodeAt(system, i);
			node.running = null;
			const message = 'the model source does not answer';
			say(node, { t: 'failed', ...bareOf(running), slotId: running.slotId, class: 'engine', message, need: 'model-source' });
		});
	});

const cancelOf =
	(i: number): Act =>
	(system) => {
		const mine = system.jobs[i];
		if (mine === undefined) return;
		mine.cancelTold = true;
		pool(system, 'cancel', { ws: WS, jobId: mine.job.id, who: 'key:k' }, false);
	};

const handOverOf =
	(i: number): Act =>
	(system, dies) => {
		const mine = system.jobs[i];
		if (mine === undefined) return;
		mine.handed = true;
		pool(system, 'enqueue', { job: structuredClone(mine.job), notAfter: mine.job.createdAt + NOT_AFTER }, dies);
	};

const handOvers = (system: System, i: number, jobId: string, handed: boolean): Move[] => {
	const isOpen = system.work.get(jobId)?.state === 'queued';
	const known = system.pool.jobs.has(jobId) || system.pool.settled.has(jobId);
	const isNext = i === 0 || system.jobs[i - 1]?.handed === true;
	// The Workspace's sweep hands over again what the pool does not know.
	if (handed ? isOpen && !known : isNext) return both(`job ${i} is handed over`, handOverOf(i));
	return handed && known ? [fault(`job ${i} is handed over again`, handOverOf(i))] : [];
};

const jobMoves = (system: System): Move[] =>
	system.jobs.flatMap(({ handed, cancelTold, job }, i) => {
		const moves = handOvers(system, i, job.id, handed);
		const isOpen = system.work.get(job.id)?.state === 'queued';
		// Also before the hand-over; of equal jobs that wait for theirs, the first.
		if ((handed || i === 0) && !cancelTold && isOpen) moves.push(fault(`job ${i} is canceled`, cancelOf(i)));
		return moves;
	});

const settleMoves = (system: System): Move[] =>
	system.settles.flatMap((_, i) => {
		const settle =
			(reaches: boolean, type: 'settled' | 'settleFailed'): Act =>
			(next, dies) => {
				const call = next.settles.splice(i, 1)[0];
				if (call === undefined) return;
				if (reaches) withCloud(next, (cloud) => cloud.settle(call.batch));
				if (call.alive) pool(next, type, { ws: WS, jobIds: call.batch.map(({ jobId }) => jobId) }, dies);
			};
		return [
			...both('a settlement is applied', settle(true, 'settled')),
			fault('a settlement does not reach the Workspace', settle(false, 'settleFailed')),
			fault('a settlement is applied; the answer is lost', settle(true, 'settleFailed')),
		];
	});

/** Whether somebody who is in time would do something before the next deadline. */
const isBusy = (system: System): boolean =>
	system.settles.length > 0 ||
	system.jobs.some(({ handed }) => !handed) ||
	system.nodes.some(
		(node) => node.deafAt === null && (node.connId === null || node.up.length > 0 || node.running !== null || node.outbox.length > 0),
	);

const nextAt = ({ alarmAt, pokeAt }: System): number => Math.min(alarmAt ?? Number.POSITIVE_INFINITY, pokeAt ?? Number.POSITIVE_INFINITY);

const tick = (system: System): void => {
	system.now = Math.max(nextAt(system), system.now);
	if (system.pokeAt !== null && system.pokeAt <= system.now) system.pokeAt = null;
	if (system.alarmAt !== null && system.alarmAt <= system.now) system.alarmAt = null;
	pool(system, 'tick', {}, false);
};

/** More ticks in a row than any deadline takes; a pool that ticks on without effect is idle. */
const TICKS_MAX = 60;

/** Time passes until a tick changes something. */
const pass = (system: System): void => {
	const before = timeless(system);
	for (let i = 0; i < TICKS_MAX && nextAt(system) - system.now < FAR_MS / 2 && timeless(system) === before; i++) tick(system);
};

/** That somebody who has something to do does nothing until the next deadline is a fault: he is slow. */
const timeMoves = (system: System): Move[] => {
	const at = nextAt(system);
	if (at - system.now > FAR_MS / 2) return [];
	return [{ name: 'time passes to the next deadline', fault: isBusy(system) && at !== system.pokeAt, run: pass }];
};

const poolFaults = (): Move[] => [
	fault('the pool dies with its sockets', (system) => evict(system, false)),
	fault('the pool hibernates and wakes', (system) => evict(system, true)),
];

/** Every move that is possible now. */
export const movesOf = (system: System): Move[] => {
	const moves = [...jobMoves(system), ...system.nodes.flatMap(nodeMoves), ...settleMoves(system), ...timeMoves(system)];
	if (system.faults > 0) moves.push(...system.nodes.flatMap(nodeFaults), ...sourceFaults(system), ...poolFaults());
	// Faults after the end of all jobs would only be repeated hellos.
	const allowed = system.faults > 0 && !isDone(system);
	return allowed ? moves : moves.filter((move) => !move.fault);
};

/**
 * What is done to the system, and when: a pure function of the seed, so that a run can be repeated. Only the plan is
 * the same again; how processes and sockets react is up to the machine.
 * @module
 */
import { createRandom, type Random } from '../../gateway/src/pool/sim/random.ts';

export interface KillNode {
	kind: 'kill';
	node: number;
	/** The engine processes die too, as when a machine loses power; else they have to notice by themselves. */
	family: boolean;
	downMs: number;
}
export interface StopNode {
	kind: 'stop';
	node: number;
	downMs: number;
}
export interface KillGateway {
	kind: 'gateway';
}
export interface DropSocket {
	kind: 'drop';
	node: number;
	/** A reset instead of an orderly end of the stream. */
	reset: boolean;
}
export interface HalfOpen {
	kind: 'halfOpen';
	node: number;
	downMs: number;
}
export interface FullDisk {
	kind: 'fullDisk';
	node: number;
	downMs: number;
}
export interface BadUploads {
	kind: 'badUploads';
	node: number;
	uploads: number;
	/** `refuse` = the gateway never sees the upload; `swallow` = it does, and its answer is lost. */
	how: 'refuse' | 'swallow';
}
export interface JumpClock {
	kind: 'clock';
	node: number;
	byMs: number;
}
export type Fault = KillNode | StopNode | KillGateway | DropSocket | HalfOpen | FullDisk | BadUploads | JumpClock;
export type FaultKind = Fault['kind'];
export type TimedFault = Fault & { atMs: number };

export interface ChaosJob {
	atMs: number;
	/** Index of the workspace. */
	ws: number;
	body: Record<string, unknown>;
	/** Cancelled so long after it was accepted. */
	cancelAfterMs?: number;
	key: string;
}

export interface ChaosPlan {
	faults: TimedFault[];
	jobs: ChaosJob[];
	stormMs: number;
}

export interface ChaosOptions {
	seed: number;
	jobs: number;
	nodes: number;
	workspaces: number;
}

/** Faults of a run of {@link FULL_JOBS} jobs; shorter runs have fewer, but each at least once. */
export const FULL_COUNTS: Readonly<Record<FaultKind, number>> = {
	kill: 20,
	stop: 14,
	gateway: 6,
	drop: 30,
	halfOpen: 8,
	fullDisk: 4,
	badUploads: 12,
	clock: 8,
};
export const FULL_JOBS = 300;
/** A fault every two seconds: most of the six nodes work at any time. */
const FAULT_EVERY_MS = 2200;
const CALM_BEFORE_MS = 3000;
/** Longer than the 11 s after which a silent node is given up, for half of the silences. */
const LONG_SILENCE_MS = 14_000;

const MAKE: { [K in FaultKind]: (random: Random, node: number) => Extract<Fault, { kind: K }> } = {
	kill: (random, node) => ({ kind: 'kill', node, family: random.chance(0.5), downMs: Math.round(random.between(300, 3000)) }),
	stop: (random, node) => ({
		kind: 'stop',
		node,
		downMs: Math.round(random.chance(0.5) ? random.between(1000, 6000) : LONG_SILENCE_MS + random.between(0, 4000)),
	}),
	gateway: () => ({ kind: 'gateway' }),
	drop: (random, node) => ({ kind: 'drop', node, reset: random.chance(0.5) }),
	halfOpen: (random, node) => ({ kind: 'halfOpen', node, downMs: Math.round(LONG_SILENCE_MS + random.between(0, 5000)) }),
	fullDisk: (random, node) => ({ kind: 'fullDisk', node, downMs: Math.round(random.between(4000, 9000)) }),
	badUploads: (random, node) => ({ kind: 'badUploads', node, uploads: 1 + random.int(4), how: random.pick(['refuse', 'swallow']) }),
	clock: (random, node) => ({ kind: 'clock', node, byMs: random.pick([-86_400_000, -3_600_000, -5000, 5000, 3_600_000, 86_400_000]) }),
};

const shuffled = <T>(items: readonly T[], random: Random): T[] => {
	const left = [...items];
	return items.map(() => left.splice(random.int(left.length), 1)[0] as T);
};

const downMsOf = (fault: Fault): number => ('downMs' in fault ? fault.downMs : 0);

/** One node is hurt by one thing at a time: otherwise a stopped process would be killed, and nothing learned about stopping. */
const chooseNode = (random: Random, busyUntil: number[], atMs: number): number => {
	const ready = busyUntil.flatMap((until, node) => (until <= atMs ? [node] : []));
	return ready.length > 0 ? random.pick(ready) : busyUntil.indexOf(Math.min(...busyUntil));
};

const planFaults = (options: ChaosOptions, random: Random): { faults: TimedFault[]; stormMs: number } => {
	const share = options.jobs / FULL_JOBS;
	const kinds = (Object.keys(FULL_COUNTS) as FaultKind[]).flatMap((kind) =>
		Array.from({ length: Math.max(1, Math.round(FULL_COUNTS[kind] * share)) }, () => kind),
	);
	const busyUntil = Array.from({ length: options.nodes }, () => 0);
	const faults = shuffled(kinds, random).map((kind, place): TimedFault => {
		const atMs = Math.round(CALM_BEFORE_MS + (place + random.next()) * FAULT_EVERY_MS);
		const node = chooseNode(random, busyUntil, atMs);
		const fault = MAKE[kind](random, node);
		// Starting again takes a process some seconds.
		if (kind !== 'gateway') busyUntil[node] = Math.max(atMs, busyUntil[node] ?? 0) + downMsOf(fault) + 3000;
		return { ...fault, atMs };
	});
	return { faults, stormMs: CALM_BEFORE_MS + kinds.length * FAULT_EVERY_MS };
};

const STORYBOOK_SHARE = 0.12;
const CANCEL_SHARE = 0.06;
const MISHAP_SHARE = 0.03;

const jobBody = (random: Random, place: number): Record<string, unknown> => {
	const seed = place;
	if (random.chance(STORYBOOK_SHARE)) return { model: 'storybook', prompt: 'a castle at night', seed, steps: 4 + random.int(4) };
	const mishap = random.chance(MISHAP_SHARE) ? random.pick([' [mock:fail]', ' [mock:crash]', ' [mock:invalid]']) : '';
	const size = random.pick([64, 128, 192]);
	const n = random.chance(0.12) ? 2 + random.int(3) : 1;
	return {
		model: 'chaos-noise',
		prompt: `picture ${place}${mishap}`,
		seed,
		n,
		width: size,
		height: size,
		steps: 4 + random.int(26),
		priority: random.int(10),
	};
};

const planJobs = (options: ChaosOptions, random: Random, stormMs: number): ChaosJob[] =>
	Array.from({ length: options.jobs }, (_, place) => ({
		atMs: Math.round((place / options.jobs) * stormMs),
		// One workspace asks for more than the others.
		ws: random.chance(0.4) ? 0 : random.int(options.workspaces),
		body: jobBody(random, place),
		key: `chaos-${options.seed}-${place}`,
		...(random.chance(CANCEL_SHARE) ? { cancelAfterMs: random.int(2500) } : {}),
	}));

/** The plan of a run. */
export const planChaos = (options: ChaosOptions): ChaosPlan => {
	const random = createRandom(options.seed);
	const { faults, stormMs } = planFaults(options, random);
	return { faults, jobs: planJobs(options, random, stormMs), stormMs };
};

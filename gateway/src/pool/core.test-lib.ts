/**
 * What several tests of the core need.
 * @module
 */
import { Bench, type TaskSend } from './sim/bench.ts';
import { slotsOf } from './sim/fixtures.ts';

export const stateOf = (bench: Bench, id: string): string | undefined => bench.state.jobs.get(id)?.state;
export const settlementOf = (bench: Bench, id: string) =>
	bench.sends.flatMap((send) => (send.kind === 'settle' ? send.batch : [])).find((each) => each.jobId === id);

/** Lets time pass until the next grant. */
export const nextGrant = (bench: Bench, limitMs = 10_000): TaskSend => {
	for (let ms = 0; ms < limitMs; ms += 100) {
		const [grant] = bench.grants();
		if (grant !== undefined) return grant;
		bench.pass(100);
	}
	throw new Error(`no grant within ${limitMs} ms`);
};

export const running = (): { bench: Bench; nodeId: string; grant: TaskSend } => {
	const bench = new Bench();
	const identity = bench.identity();
	bench.join(identity);
	bench.submit();
	const grant = bench.grant();
	bench.ack(grant);
	return { bench, nodeId: identity.nodeId, grant };
};

export const orderOf = (bench: Bench, count: number): TaskSend[] => {
	const order: TaskSend[] = [];
	for (let i = 0; i < count; i++) {
		const grant = bench.grant();
		order.push(grant);
		bench.complete(grant, bench.state.connNode.get(grant.connId) ?? '');
	}
	return order;
};

export const device = (memoryBytes: number) =>
	[{ ...slotsOf(1)[0], device: { kind: 'cuda' as const, name: 'gpu', memoryBytes } }] as ReturnType<typeof slotsOf>;

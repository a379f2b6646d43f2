import { describe, expect, it } from 'vitest';
import { nodeView } from './views.ts';
import { Bench } from './sim/bench.ts';

const MINUTE_MS = 60_000;

/** A bench with a node that makes a picture whenever it is asked. */
const working = () => {
	const bench = new Bench();
	const identity = bench.identity();
	const connId = bench.join(identity);
	const make = (): void => {
		bench.submit();
		const grant = bench.grant();
		bench.ack(grant);
		bench.generated(grant);
		bench.complete(grant, identity.nodeId);
	};
	/** The object hibernates: sockets live on, memory does not. */
	const hibernate = (): void => bench.restart({ nodes: [{ connId, nodeId: identity.nodeId, bootId: 'boot1', at: bench.now - 1000 }] });
	const view = () => {
		const node = bench.state.nodes.get(identity.nodeId);
		if (node === undefined) throw new Error('the node is gone');
		return nodeView(bench.state, bench.now, node);
	};
	return { bench, connId, make, hibernate, view };
};

describe('what a node has done', () => {
	it('is still known after the object slept through a quiet night', () => {
		const { bench, make, hibernate, view } = working();
		for (let i = 0; i < 5; i++) make();
		expect(view().completed).toBe(5);
		// The object sleeps once no short timer stands any more.
		bench.rest(2 * MINUTE_MS);
		expect(bench.pokeAt).toBeUndefined();
		hibernate();
		expect(view()).toMatchObject({ completed: 5 });
		expect(view().history?.work[0]).toMatchObject({ succeeded: 5, successRate: 1 });
	});

	it('is written within seconds after a long pause, so that the object may soon sleep', () => {
		const { bench, make, hibernate, view } = working();
		make();
		bench.rest(4000);
		expect(bench.pokeAt).toBeUndefined();
		hibernate();
		expect(view().completed).toBe(1);
	});

	it('keeps a short timer while something is unwritten, so that nothing is forgotten by hibernation', () => {
		const { bench, make } = working();
		make();
		bench.rest(4000);
		make();
		const forgotten: number[] = [];
		for (let waited = 0; waited < MINUTE_MS; waited += 1000) {
			bench.rest(1000);
			if ([...bench.state.nodes.values()].some((node) => node.dirty) && bench.pokeAt === undefined) forgotten.push(waited);
		}
		expect(forgotten).toEqual([]);
		expect([...bench.state.nodes.values()].map((node) => node.dirty)).toEqual([false]);
	});

	it('is not kept for the time to a grant alone, which the next write takes along', () => {
		const { bench, connId } = working();
		bench.submit();
		bench.ack(bench.grant());
		expect(connId).not.toBe('');
		expect(bench.pokeAt).toBeUndefined();
	});

	it('costs one row a minute at most, however much is done and however often the object sleeps', () => {
		const { bench, make, hibernate } = working();
		bench.rest(2 * MINUTE_MS);
		bench.clear();
		for (let minute = 0; minute < 5; minute++) {
			for (let i = 0; i < 20; i++) {
				make();
				bench.rest(3000);
				if (i === 10) hibernate();
			}
		}
		expect(bench.nodeWrites).toBeGreaterThanOrEqual(3);
		expect(bench.nodeWrites).toBeLessThanOrEqual(6);
	});

	it('loses what the last minute brought when the object dies at once, and no more', () => {
		const { bench, make, hibernate, view } = working();
		for (let i = 0; i < 40; i++) {
			make();
			bench.rest(3000);
		}
		hibernate();
		expect(view().completed).toBeGreaterThanOrEqual(40 - MINUTE_MS / 3000);
	});
});

import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createHeap, put, take, top } from './heap.ts';
import { createOrdered, first, inOrder, insert, placeOf, remove, sizeOf, startingBelow, type Branch } from './ordered.ts';

interface Entry {
	key: number;
	serial: number;
	weight: number;
}
const before = (a: Entry, b: Entry): boolean => a.key < b.key || (a.key === b.key && a.serial < b.serial);
const sorted = (entries: readonly Entry[]): Entry[] => entries.toSorted((a, b) => (before(a, b) ? -1 : 1));

/** Additions and removals in any order; `take` names one of those that are in. */
const moves = fc.array(
	fc.oneof(
		fc.record({ kind: fc.constant('add' as const), key: fc.integer({ min: 0, max: 20 }), weight: fc.integer({ min: 0, max: 5 }) }),
		fc.record({ kind: fc.constant('take' as const), which: fc.nat() }),
	),
	{ maxLength: 120 },
);

const depthOf = <T>(branch: Branch<T> | null): number => (branch === null ? 0 : 1 + Math.max(depthOf(branch.left), depthOf(branch.right)));

describe('an ordered set', () => {
	it('agrees with a sorted list about order, places, weights and what starts below', () => {
		fc.assert(
			fc.property(moves, fc.integer({ min: -1, max: 60 }), (script, limit) => {
				const tree = createOrdered<Entry>();
				let list: Entry[] = [];
				const removed: unknown[][] = [];
				for (const [serial, move] of script.entries()) {
					if (move.kind === 'add') {
						const entry = { key: move.key, serial, weight: move.weight };
						insert(tree, entry, entry.weight, before);
						list = sorted([...list, entry]);
					} else if (list.length > 0) {
						const gone = list[move.which % list.length]!;
						removed.push([remove(tree, { ...gone }, before), gone]);
						list = list.filter((each) => each !== gone);
					}
				}
				expect(removed.every(([found, wanted]) => found === wanted)).toBe(true);
				expect([...inOrder(tree)]).toEqual(list);
				expect(sizeOf(tree)).toBe(list.length);
				expect(first(tree)).toBe(list[0]);
				for (const [count, entry] of list.entries())
					expect(placeOf(tree, entry, before)).toEqual({
						count,
						weight: list.slice(0, count).reduce((sum, { weight }) => sum + weight, 0),
					});
				let weight = 0;
				let below = 0;
				for (const entry of list) {
					if (weight < limit) below++;
					weight += entry.weight;
				}
				expect(startingBelow(tree, limit)).toBe(below);
			}),
		);
	});

	it('answers nothing for what is not in', () => {
		const tree = createOrdered<Entry>();
		expect(first(tree)).toBeUndefined();
		expect(remove(tree, { key: 1, serial: 1, weight: 1 }, before)).toBeUndefined();
		expect(startingBelow(tree, 5)).toBe(0);
	});

	it.each(['rising', 'falling'])('stays shallow when keys come %s', (order) => {
		const tree = createOrdered<Entry>();
		for (let i = 0; i < 20_000; i++) insert(tree, { key: order === 'rising' ? i : -i, serial: i, weight: 1 }, 1, before);
		// A list would be 20,000 deep; random treaps of this size are about 30 deep.
		expect(depthOf(tree.root)).toBeLessThan(60);
	});
});

describe('a heap with places', () => {
	it('keeps the least on top while items come, go and change', () => {
		const script = fc.array(fc.record({ which: fc.nat(15), key: fc.integer({ min: 0, max: 9 }), goes: fc.boolean() }), { maxLength: 120 });
		fc.assert(
			fc.property(script, (steps) => {
				const heap = createHeap<Entry>();
				const items = Array.from({ length: 16 }, (_, serial): Entry => ({ key: 0, serial, weight: 0 }));
				const inside = new Set<Entry>();
				for (const { which, key, goes } of steps) {
					const item = items[which]!;
					if (goes) {
						take(heap, item, before);
						inside.delete(item);
					} else {
						item.key = key;
						put(heap, item, before);
						inside.add(item);
					}
					expect(top(heap)).toBe(sorted([...inside])[0]);
					expect(heap.places.size).toBe(inside.size);
					for (const [each, place] of heap.places) expect(heap.items[place]).toBe(each);
				}
			}),
		);
	});
});

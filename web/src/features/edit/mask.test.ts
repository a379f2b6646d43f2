import { describe, expect, it } from 'vitest';
import { doOp, EMPTY_MASK, fit, needed, pinch, redo, toPicture, undo, zoom, type Op } from './mask.ts';

const stroke: Op = { kind: 'stroke', erase: false, size: 4, softness: 0, points: [[1, 1]] };

describe('the list of what was drawn', () => {
	it('undoes and redoes, and forgets what was undone after something new', () => {
		const two = doOp(doOp(EMPTY_MASK, stroke), { kind: 'invert' });
		const one = undo(two);
		expect(one.done).toEqual([stroke]);
		expect(redo(one)).toEqual(two);
		expect(redo(doOp(one, { kind: 'fill' })).done.map(({ kind }) => kind)).toEqual(['stroke', 'fill']);
		expect(undo(EMPTY_MASK)).toBe(EMPTY_MASK);
		expect(redo(EMPTY_MASK)).toBe(EMPTY_MASK);
	});

	it('needs nothing from before a clear or a fill', () => {
		expect(needed([stroke, { kind: 'clear' }, stroke, { kind: 'invert' }]).map(({ kind }) => kind)).toEqual(['clear', 'stroke', 'invert']);
		expect(needed([stroke, { kind: 'invert' }])).toHaveLength(2);
	});
});

describe('the view', () => {
	it('fits a picture into the middle', () => {
		const view = fit({ width: 100, height: 50 }, { width: 432, height: 432 });
		expect(view).toEqual({ scale: 4, x: 16, y: 116 });
	});

	it('keeps what is under the pointer where it is', () => {
		const view = { scale: 2, x: 10, y: 20 };
		const after = zoom(view, 1.7, [110, 60]);
		expect(toPicture(after, [110, 60])[0]).toBeCloseTo(toPicture(view, [110, 60])[0]);
		expect(toPicture(after, [110, 60])[1]).toBeCloseTo(toPicture(view, [110, 60])[1]);
		expect(zoom(view, 1e9, [0, 0]).scale).toBe(32);
	});

	it('follows two fingers', () => {
		const view = { scale: 1, x: 0, y: 0 };
		const moved = pinch(
			view,
			[
				[0, 0],
				[10, 0],
			],
			[
				[5, 5],
				[15, 5],
			],
		);
		expect(moved).toEqual({ scale: 1, x: 5, y: 5 });
		const spread = pinch(
			view,
			[
				[10, 0],
				[20, 0],
			],
			[
				[5, 0],
				[25, 0],
			],
		);
		expect(spread.scale).toBe(2);
		expect(toPicture(spread, [15, 0])[0]).toBeCloseTo(15);
	});
});

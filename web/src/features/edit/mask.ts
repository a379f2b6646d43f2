/**
 * A mask as the list of what was drawn, with undo and redo. Pure; `paint.ts` makes pixels of it.
 * @module
 */
export type Point = readonly [x: number, y: number];

/** One thing that was done. Lengths are pixels of the source picture. */
export type Op =
	| { kind: 'stroke'; erase: boolean; size: number; softness: number; points: readonly Point[] }
	| { kind: 'area'; erase: boolean; points: readonly Point[] }
	| { kind: 'fill' }
	| { kind: 'clear' }
	| { kind: 'invert' }
	| { kind: 'image'; image: CanvasImageSource };

export interface Mask {
	done: readonly Op[];
	undone: readonly Op[];
}

export const EMPTY_MASK: Mask = { done: [], undone: [] };

/** One more thing done; what was undone before is gone. */
export const doOp = (mask: Mask, op: Op): Mask => ({ done: [...mask.done, op], undone: [] });

export const undo = (mask: Mask): Mask => {
	const last = mask.done.at(-1);
	return last === undefined ? mask : { done: mask.done.slice(0, -1), undone: [...mask.undone, last] };
};

export const redo = (mask: Mask): Mask => {
	const next = mask.undone.at(-1);
	return next === undefined ? mask : { done: [...mask.done, next], undone: mask.undone.slice(0, -1) };
};

/** Operations from the last one that makes all earlier ones irrelevant. */
export const needed = (ops: readonly Op[]): readonly Op[] => {
	const from = ops.findLastIndex(({ kind }) => kind === 'clear' || kind === 'fill');
	return from < 0 ? ops : ops.slice(from);
};

export const rectangle = ([ax, ay]: Point, [bx, by]: Point): Point[] => [
	[ax, ay],
	[bx, ay],
	[bx, by],
	[ax, by],
];

/** Where a picture is shown: screen = picture × scale + offset. */
export interface View {
	scale: number;
	x: number;
	y: number;
}

export const MIN_SCALE = 0.1;
export const MAX_SCALE = 32;

/** The largest view in which all of the picture is seen, in the middle. */
export const fit = (picture: { width: number; height: number }, stage: { width: number; height: number }, margin = 16): View => {
	const scale = Math.max(MIN_SCALE, Math.min((stage.width - 2 * margin) / picture.width, (stage.height - 2 * margin) / picture.height));
	return { scale, x: (stage.width - picture.width * scale) / 2, y: (stage.height - picture.height * scale) / 2 };
};

/** Zoomed by `factor` so that what is under `at` (of the stage) stays there. */
export const zoom = (view: View, factor: number, [x, y]: Point): View => {
	const scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, view.scale * factor));
	const ratio = scale / view.scale;
	return { scale, x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio };
};

/** Panned and zoomed as two fingers moved from `before` to `after`. */
export const pinch = (view: View, before: readonly [Point, Point], after: readonly [Point, Point]): View => {
	const middle = ([a, b]: readonly [Point, Point]): Point => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
	const apart = ([a, b]: readonly [Point, Point]): number => Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
	const [from, to] = [middle(before), middle(after)];
	const moved = { ...view, x: view.x + to[0] - from[0], y: view.y + to[1] - from[1] };
	return zoom(moved, apart(after) / apart(before), to);
};

export const toPicture = (view: View, [x, y]: Point): Point => [(x - view.x) / view.scale, (y - view.y) / view.scale];

/**
 * An ordered set that knows places: a treap (Seidel and Aragon 1996) whose branches carry their size and the sum of their
 * weights, so that adding, removing, "how many come before" and "how much work comes before" cost O(log n). Plain data:
 * the state of the pool is copied and compared as a whole.
 * @module
 */

export interface Branch<T> {
	item: T;
	weight: number;
	/** Parents are hotter than their children; heats are random, so the tree is balanced. */
	heat: number;
	size: number;
	/** Of the weights of the whole branch. */
	sum: number;
	left: Branch<T> | null;
	right: Branch<T> | null;
}

export interface Ordered<T> {
	root: Branch<T> | null;
	seed: number;
}

/** Whether `a` comes before `b`; of two different items exactly one does. */
export type Before<T> = (a: T, b: T) => boolean;

export const createOrdered = <T>(): Ordered<T> => ({ root: null, seed: 1 });

export const sizeOf = <T>({ root }: Ordered<T>): number => root?.size ?? 0;

const refit = <T>(branch: Branch<T>): Branch<T> => {
	const { left, right } = branch;
	branch.size = 1 + (left?.size ?? 0) + (right?.size ?? 0);
	branch.sum = branch.weight + (left?.sum ?? 0) + (right?.sum ?? 0);
	return branch;
};

/** Parts a branch into what comes before an item and the rest. */
const split = <T>(branch: Branch<T> | null, item: T, before: Before<T>): [Branch<T> | null, Branch<T> | null] => {
	if (branch === null) return [null, null];
	if (before(branch.item, item)) {
		const [low, high] = split(branch.right, item, before);
		branch.right = low;
		return [refit(branch), high];
	}
	const [low, high] = split(branch.left, item, before);
	branch.left = high;
	return [low, refit(branch)];
};

const join = <T>(low: Branch<T> | null, high: Branch<T> | null): Branch<T> | null => {
	if (low === null || high === null) return low ?? high;
	if (low.heat > high.heat) {
		low.right = join(low.right, high);
		return refit(low);
	}
	high.left = join(low, high.left);
	return refit(high);
};

const grow = <T>(branch: Branch<T> | null, leaf: Branch<T>, before: Before<T>): Branch<T> => {
	if (branch === null) return leaf;
	if (leaf.heat > branch.heat) {
		[leaf.left, leaf.right] = split(branch, leaf.item, before);
		return refit(leaf);
	}
	if (before(leaf.item, branch.item)) branch.left = grow(branch.left, leaf, before);
	else branch.right = grow(branch.right, leaf, before);
	return refit(branch);
};

/** The next random number of the tree itself (mulberry32): the same additions give the same tree. */
const nextHeat = (tree: { seed: number }): number => {
	tree.seed = (tree.seed + 0x6d2b79f5) >>> 0;
	const mixed = Math.imul(tree.seed ^ (tree.seed >>> 15), tree.seed | 1);
	return (mixed ^ (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61))) >>> 0;
};

/** @param weight counted by `placeOf` and `startingBelow`; not negative */
export const insert = <T>(tree: Ordered<T>, item: T, weight: number, before: Before<T>): void => {
	const leaf: Branch<T> = { item, weight, heat: nextHeat(tree), size: 1, sum: weight, left: null, right: null };
	tree.root = grow(tree.root, leaf, before);
};

const cut = <T>(branch: Branch<T> | null, item: T, before: Before<T>, found: (item: T) => void): Branch<T> | null => {
	if (branch === null) return null;
	if (before(item, branch.item)) branch.left = cut(branch.left, item, before, found);
	else if (before(branch.item, item)) branch.right = cut(branch.right, item, before, found);
	else {
		found(branch.item);
		return join(branch.left, branch.right);
	}
	return refit(branch);
};

/** Removes the item that stands where this one would; answers it. */
export const remove = <T>(tree: Ordered<T>, item: T, before: Before<T>): T | undefined => {
	let removed: T | undefined;
	tree.root = cut(tree.root, item, before, (each) => {
		removed = each;
	});
	return removed;
};

export const first = <T>({ root }: Ordered<T>): T | undefined => {
	let branch = root;
	while (branch?.left) branch = branch.left;
	return branch?.item;
};

/** How many items, and how much weight, come before this one. */
export const placeOf = <T>({ root }: Ordered<T>, item: T, before: Before<T>): { count: number; weight: number } => {
	let count = 0;
	let weight = 0;
	for (let branch = root; branch !== null;) {
		if (before(branch.item, item)) {
			count += 1 + (branch.left?.size ?? 0);
			weight += branch.weight + (branch.left?.sum ?? 0);
			branch = branch.right;
		} else branch = branch.left;
	}
	return { count, weight };
};

/** How many items have less than so much weight before them. */
export const startingBelow = <T>({ root }: Ordered<T>, limit: number): number => {
	let count = 0;
	let left = limit;
	// All that stands in a short queue comes before: known without going down.
	if (root !== null && root.sum < limit) return root.size;
	for (let branch = root; branch !== null;) {
		const earlier = branch.left?.sum ?? 0;
		if (earlier >= left) branch = branch.left;
		else {
			count += 1 + (branch.left?.size ?? 0);
			left -= earlier + branch.weight;
			branch = branch.right;
		}
	}
	return count;
};

/** Items in order, one at a time: whoever looks at the first few pays for those only. */
export function* inOrder<T>({ root }: Ordered<T>): Generator<T, void, undefined> {
	const above: Branch<T>[] = [];
	let branch = root;
	while (branch !== null || above.length > 0) {
		for (; branch !== null; branch = branch.left) above.push(branch);
		const next = above.pop();
		if (next === undefined) return;
		yield next.item;
		branch = next.right;
	}
}

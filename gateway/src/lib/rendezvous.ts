/**
 * Rendezvous (highest random weight) hashing: which shard a key belongs to. When shards are added, a key stays where
 * it was or moves to a new shard, never between old ones, and nothing but the number of shards must be known.
 * @module
 */
import { createHash } from 'node:crypto';
import { MAX_SHARDS } from '@limner/shared';

/** 48 bits: exact as a number. */
const weightOf = (key: string, shard: number): number => createHash('sha256').update(`${shard}|${key}`).digest().readUIntBE(0, 6);

/**
 * The shard of a key.
 * @param shards number of shards, 1..1024
 */
export const rendezvous = (key: string, shards: number): number => {
	let best = 0;
	let bestWeight = -1;
	for (let shard = 0; shard < shards; shard++) {
		const weight = weightOf(key, shard);
		if (weight > bestWeight) {
			best = shard;
			bestWeight = weight;
		}
	}
	return best;
};

/**
 * Reads the setting SHARDS.
 * @throws {RangeError} with a sentence when it is no whole number from 1 to 1024
 */
export const parseShards = (text: string): number => {
	const shards = /^\d{1,4}$/.test(text.trim()) ? Number(text) : 0;
	if (shards < 1 || shards > MAX_SHARDS) {
		throw new RangeError(`SHARDS is ${JSON.stringify(text)}: write a whole number from 1 to ${MAX_SHARDS}`);
	}
	return shards;
};

/**
 * Quantities in words.
 * @module
 */

/** A time for people. */
export const shortTime = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

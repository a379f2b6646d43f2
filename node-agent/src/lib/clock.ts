/**
 * The clock for waiting times.
 * @module
 */

/**
 * Whole milliseconds that only ever go forward: setting the machine's clock, or waking it from sleep, must neither kill
 * a running task nor stop the pings. Only differences mean something.
 */
export const monotonicMs = (): number => Math.floor(performance.now());

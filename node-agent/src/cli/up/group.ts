/**
 * Process groups: what a process that was killed leaves behind.
 * @module
 */

/** Ends a process that was started as the leader of a group, and everything that it started. One that is gone is no error. */
export const endGroup = (leader: number | undefined): void => {
	if (leader === undefined) return;
	try {
		// Windows has no process groups; a negative pid is refused there.
		process.kill(process.platform === 'win32' ? leader : -leader, 'SIGKILL');
	} catch {
		// Nobody is left.
	}
};

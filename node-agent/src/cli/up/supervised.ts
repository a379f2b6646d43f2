/**
 * A process forked by `limner up` must not outlive it: when the channel to the parent closes, it stops like on SIGTERM.
 * @module
 */
export const endWithParent = (): void => {
	if (process.env['LIMNER_SUPERVISED'] !== '1' || process.send === undefined) return;
	// It may have closed already, while this process was still loading.
	if (!process.connected) process.exit(0);
	process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'));
	// The channel alone must not keep the process alive.
	process.channel?.unref();
};

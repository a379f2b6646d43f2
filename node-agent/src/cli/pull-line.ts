/**
 * The progress of a download: a bar on a terminal, a line every few seconds in a log.
 * @module
 */

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

/** A number of bytes for people. */
export const inWords = (bytes: number): string => {
	if (bytes >= GIB) return `${(bytes / GIB).toFixed(1)} GiB`;
	return bytes >= MIB ? `${(bytes / MIB).toFixed(1)} MiB` : `${Math.ceil(bytes / 1024)} KiB`;
};

const BAR = 24;

const timeLeft = (seconds: number): string =>
	seconds >= 3600
		? `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min left`
		: `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, '0')} left`;

/**
 * One line about a download.
 * @param perSecond bytes; nothing when it is not known yet
 */
export const renderPull = (bytes: number, total: number, perSecond: number | undefined): string => {
	const share = total === 0 ? 1 : Math.min(1, bytes / total);
	const full = Math.round(share * BAR);
	const speed = perSecond === undefined || perSecond <= 0 ? '' : `  ${inWords(perSecond)}/s  ${timeLeft((total - bytes) / perSecond)}`;
	return `${'█'.repeat(full)}${'░'.repeat(BAR - full)} ${Math.floor(share * 100)} %  ${inWords(bytes)} of ${inWords(total)}${speed}`;
};

const REDRAW_MS = 200;
const LOG_MS = 5000;
/** The speed is that of the last seconds. */
const WINDOW_MS = 10_000;

export interface PullLine {
	update: (bytes: number, total: number) => void;
	note: (text: string) => void;
	/** Ends the line; may be called again. */
	done: () => void;
}

/** Draws a download. */
export const createPullLine = (
	options: { stream?: { write: (text: string) => unknown; isTTY?: boolean; columns?: number }; now?: () => number } = {},
): PullLine => {
	const stream = options.stream ?? process.stderr;
	const now = options.now ?? Date.now;
	const tty = stream.isTTY === true;
	let drawnAt = now();
	let open = false;
	let samples: { at: number; bytes: number }[] = [];
	const clear = (): void => {
		if (tty && open) stream.write('\r\u001b[2K');
		open = false;
	};
	const speed = (at: number, bytes: number): number | undefined => {
		samples = [...samples.filter((sample) => at - sample.at < WINDOW_MS), { at, bytes }];
		const [first] = samples;
		return first === undefined || at === first.at ? undefined : ((bytes - first.bytes) * 1000) / (at - first.at);
	};
	return {
		update: (bytes, total) => {
			const at = now();
			if (at - drawnAt < (tty ? REDRAW_MS : LOG_MS)) return;
			drawnAt = at;
			const text = renderPull(bytes, total, speed(at, bytes));
			stream.write(tty ? `\r\u001b[2K${text.slice(0, Math.max(20, (stream.columns ?? 100) - 1))}` : `limner: ${text}\n`);
			open = true;
		},
		note: (text) => {
			clear();
			stream.write(`${text}\n`);
		},
		done: clear,
	};
};

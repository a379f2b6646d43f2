/**
 * Shows a node's status: one line that is rewritten on a terminal, whole lines on changes elsewhere.
 * @module
 */
import { renderStatus, statusKey, type NodeStatus } from '../node/status.ts';

export interface StatusStream {
	write: (text: string) => unknown;
	isTTY?: boolean;
	columns?: number;
}

const REDRAW_MS = 200;

export class StatusLine {
	readonly #stream: StatusStream;
	#latest: NodeStatus | undefined;
	#key = '';
	#timer: NodeJS.Timeout | undefined;

	constructor(stream: StatusStream = process.stderr) {
		this.#stream = stream;
	}

	update(status: NodeStatus): void {
		this.#latest = status;
		if (this.#stream.isTTY === true) {
			// Steps come faster than eyes: the line is drawn a few times a second.
			this.#timer ??= setTimeout(() => this.#draw(), REDRAW_MS);
			return;
		}
		const key = statusKey(status);
		if (key === this.#key) return;
		this.#key = key;
		this.#stream.write(`${renderStatus(status)}\n`);
	}

	/** Shows a sentence, above the line on a terminal. */
	note(text: string): void {
		this.#stream.write(this.#stream.isTTY === true ? `\r\u001b[2K${text}\n` : `${text}\n`);
		if (this.#stream.isTTY === true && this.#latest !== undefined) this.#draw();
	}

	end(): void {
		clearTimeout(this.#timer);
		if (this.#stream.isTTY === true && this.#latest !== undefined) {
			this.#draw();
			this.#stream.write('\n');
		}
		this.#latest = undefined;
	}

	#draw(): void {
		clearTimeout(this.#timer);
		this.#timer = undefined;
		if (this.#latest === undefined) return;
		const width = Math.max(20, (this.#stream.columns ?? 100) - 1);
		this.#stream.write(`\r\u001b[2K${renderStatus(this.#latest).slice(0, width)}`);
	}
}

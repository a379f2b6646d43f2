/**
 * Mistakes and conditions that a user can act on. The message is one sentence that says what to do; nothing of it is a
 * bug, so no stack trace is shown.
 * @module
 */

/** Exit codes of the CLI. */
export const EXIT = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;

export class UserError extends Error {
	override readonly name = 'UserError';
	readonly exitCode: number;
	constructor(sentence: string, options: { exitCode?: number; cause?: unknown } = {}) {
		super(sentence, { cause: options.cause });
		this.exitCode = options.exitCode ?? EXIT.failed;
	}
}

/** The text of anything that was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The system's error code (`ENOSPC`, `ECONNREFUSED`, …), looked up through causes. */
export const errorCode = (error: unknown): string | undefined => {
	let current: unknown = error;
	for (let depth = 0; depth < 5 && current instanceof Error; depth++) {
		if ('code' in current && typeof current.code === 'string') return current.code;
		const inner: unknown = current instanceof AggregateError ? current.errors[0] : undefined;
		current = inner ?? current.cause;
	}
	return undefined;
};

/**
 * JSON logs: one object a line, always with level, msg, time and the ids of the request. No secrets, no query strings,
 * no signed texts in paths.
 * @module
 */
const LEVELS = { debug: 10, info: 20, warn: 30, error: 40, silent: 99 } as const;
export type LogLevel = keyof typeof LEVELS;
export type LogFields = Record<string, unknown>;

export interface Logger {
	debug(msg: string, fields?: LogFields): void;
	info(msg: string, fields?: LogFields): void;
	warn(msg: string, fields?: LogFields): void;
	error(msg: string, fields?: LogFields): void;
}

type Sink = (line: string) => void;

/** An error as a log shows it: name, message, stack; never its own fields, which may hold what a caller sent. */
export const describeError = (error: unknown): LogFields =>
	error instanceof Error
		? { error: error.name, detail: redact(error.message), stack: redact(error.stack ?? '') }
		: { error: 'unknown', detail: redact(String(error)) };

const SECRETS: readonly (readonly [RegExp, string])[] = [
	[/\/(results|objects)\/[^/\s?"']+/gi, '/$1/<ticket>'],
	[/lk_([a-z0-9-]+)_([a-z0-9]+)_[A-Za-z0-9-]+/g, 'lk_$1_$2_<secret>'],
	[/jt_([a-z0-9]+)_[A-Za-z0-9]+/g, 'jt_$1_<secret>'],
	[/\b(lc|li|lp|lr)_([a-z0-9-]+)_([a-z0-9]{8})_[a-z0-9]+/g, '$1_$2_$3_<secret>'],
	[/\beyJ[\w-]+\.[\w-]+\.[\w-]+/g, '<token>'],
	// Anything signed, wherever it stands: base64url, a dot, an HMAC-SHA256 of 43 characters.
	[/[\w-]{20,}\.[\w-]{43}(?![\w-])/g, '<signed>'],
	[/([?&](?:ticket|token|key|X-Amz-Signature)=)[^&\s"']+/g, '$1<secret>'],
];

/** Text without tickets and key secrets. */
export const redact = (text: string): string => SECRETS.reduce((out, [pattern, put]) => out.replaceAll(pattern, put), text);

const isLevel = (text: string): text is LogLevel => Object.hasOwn(LEVELS, text);

const told = new Set<string>();

/** A wrong setting must not stop the service, nor go unnoticed: one line an isolate. */
const tellOnce = (level: string, sink: Sink): void => {
	if (told.has(level)) return;
	told.add(level);
	const detail = `LOG_LEVEL is ${JSON.stringify(level)} and counts as info: write one of ${Object.keys(LEVELS).join(', ')}`;
	sink(JSON.stringify({ level: 'error', msg: 'wrong setting', time: new Date().toISOString(), detail }));
};

/**
 * A logger whose every line carries `base`.
 * @param level lines below it are dropped; an unknown word counts as `info`
 * @param base e.g. traceId and requestId
 * @param sink takes finished lines; the console by default
 */
export const createLogger = (level: string, base: LogFields, sink: Sink = console.log): Logger => {
	const floor = LEVELS[isLevel(level) ? level : 'info'];
	if (!isLevel(level)) tellOnce(level, sink);
	const at =
		(name: Exclude<LogLevel, 'silent'>) =>
		(msg: string, fields: LogFields = {}): void => {
			if (LEVELS[name] < floor) return;
			sink(JSON.stringify({ level: name, msg, time: new Date().toISOString(), ...fields, ...base }));
		};
	return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
};

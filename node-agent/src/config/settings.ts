/**
 * Settings of the command line and of a node, from the environment, `.env`, `limner.config.json` and what `limner login`
 * kept. One schema checks them, wherever they stand; what is nearest wins.
 * @module
 */
import { readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { parseEnv } from 'node:util';
import { z } from 'zod';
import { callerFolder, loginFile } from '../lib/paths.ts';
import { errorCode, messageOf, UserError } from '../lib/user-error.ts';

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;
const DURATION_MAX_MS = 36_525 * UNIT_MS.d;

const address = z
	.string()
	.refine((text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol), 'must be an address like http://127.0.0.1:8787')
	.transform((text) => text.replace(/\/+$/, ''));
const folders = z.union([z.array(z.string().min(1)), z.string().transform((text) => text.split(delimiter).filter((part) => part !== ''))]);
/** The bounds of the gateway, which would refuse at the first request only. */
const isDuration = (text: string): boolean => {
	const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)$/.exec(text.trim());
	const ms = match === null ? 0 : Math.round(Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS]);
	return ms >= 1 && ms <= DURATION_MAX_MS;
};
const wholeNumber = (min: number, max: number) => z.coerce.number(`must be a whole number`).int('must be a whole number').min(min).max(max);

const SIZE_UNITS: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };
export const SIZE_MIN_BYTES = 1024 ** 2;

/** A size like `20GB`, `512 MiB` or `1000000` in bytes; not a number when it is none. */
export const parseSize = (text: string): number => {
	const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text.trim());
	return match === null ? Number.NaN : Math.floor(Number(match[1]) * (SIZE_UNITS[(match[2] ?? '').toLowerCase()] ?? Number.NaN));
};
const size = z
	.union([z.string(), z.number().transform(String)])
	.transform(parseSize)
	.refine((bytes) => bytes >= SIZE_MIN_BYTES, 'must be a size of at least 1 MB, like 20GB');

const yesNo = z.union([z.boolean(), z.enum(['true', 'false'], 'must be true or false').transform((text) => text === 'true')]);

const LogLevel = z.enum(['debug', 'info', 'warn', 'error', 'silent'], 'choose one of debug, info, warn, error and silent');

/** Every setting. The keys are those of `limner.config.json`. */
export const Settings = z.strictObject({
	url: address.default('http://127.0.0.1:8787'),
	apiKey: z.string().min(1).optional(),
	token: z.string().min(1).optional(),
	name: z.string().min(1).optional(),
	stateDir: z.string().min(1).optional(),
	models: folders.optional(),
	logLevel: LogLevel.default('info'),
	schedule: z.string().min(1).optional(),
	device: z.string().min(1).optional(),
	maxVram: size.optional(),
	maxDisk: size.optional(),
	autoPull: yesNo.default(true),
	cacheLimit: size.optional(),
	gpuDir: z.string().min(1).optional(),
	port: wholeNumber(0, 65_535).optional(),
	publicUrl: z.union([z.literal(''), address]).optional(),
	region: z.string().min(1).optional(),
	shards: wholeNumber(1, 1024).optional(),
	defaultModel: z.string().min(1).optional(),
	modelAliases: z.string().optional(),
	sizePolicy: z.enum(['snap', 'refuse']).optional(),
	resultTtl: z.string().refine(isDuration, 'must be a time of at least 1 ms and at most 100 years, like 30d or 12h').optional(),
	maxQueueDepth: wholeNumber(1, 1_000_000).optional(),
	gatewayLogLevel: LogLevel.optional(),
	/** Webhooks may call http:// and private networks. */
	webhookAllowPrivate: z.enum(['true', 'false']).optional(),
});
export type Settings = z.infer<typeof Settings>;
export type SettingKey = keyof Settings;

/** Name of each setting in the environment and in `.env`. */
export const ENVIRONMENT: Readonly<Record<SettingKey, string>> = {
	url: 'LIMNER_URL',
	apiKey: 'LIMNER_API_KEY',
	token: 'LIMNER_TOKEN',
	name: 'LIMNER_NODE_NAME',
	stateDir: 'LIMNER_STATE_DIR',
	models: 'LIMNER_MODELS',
	logLevel: 'LIMNER_LOG_LEVEL',
	schedule: 'LIMNER_SCHEDULE',
	device: 'LIMNER_DEVICE',
	maxVram: 'LIMNER_MAX_VRAM',
	maxDisk: 'LIMNER_MAX_DISK',
	autoPull: 'LIMNER_AUTO_PULL',
	cacheLimit: 'LIMNER_CACHE_LIMIT',
	gpuDir: 'LIMNER_GPU_DIR',
	port: 'PORT',
	publicUrl: 'PUBLIC_URL',
	region: 'REGION',
	shards: 'SHARDS',
	defaultModel: 'DEFAULT_MODEL',
	modelAliases: 'MODEL_ALIASES',
	sizePolicy: 'SIZE_POLICY',
	resultTtl: 'RESULT_TTL',
	maxQueueDepth: 'MAX_QUEUE_DEPTH',
	gatewayLogLevel: 'LOG_LEVEL',
	webhookAllowPrivate: 'WEBHOOK_ALLOW_PRIVATE',
};

/** Settings that are never printed in full. */
export const SECRETS: ReadonlySet<SettingKey> = new Set(['apiKey', 'token']);

/** Settings of `limner up` that reach the gateway through the environment. */
const GATEWAY_KEYS: readonly SettingKey[] = [
	'port',
	'publicUrl',
	'region',
	'shards',
	'defaultModel',
	'modelAliases',
	'sizePolicy',
	'resultTtl',
	'maxQueueDepth',
	'gatewayLogLevel',
	'webhookAllowPrivate',
];

export const CONFIG_FILE = 'limner.config.json';

/** One place that settings come from. */
export interface SettingSource {
	/** For messages: what the user would open. */
	origin: string;
	values: Partial<Record<string, unknown>>;
}

export interface EffectiveSetting {
	key: SettingKey;
	value: string | number | boolean | string[] | undefined;
	/** Where the value comes from. */
	origin: string;
}

const KEYS = Object.keys(Settings.shape) as SettingKey[];
const CLIENT_KEYS = KEYS.filter((key) => !GATEWAY_KEYS.includes(key));

const checkKeys = (source: SettingSource): void => {
	const unknown = Object.keys(source.values).find((key) => !(KEYS as string[]).includes(key));
	if (unknown === undefined) return;
	throw new UserError(`${source.origin} has a setting "${unknown}" that does not exist; there are: ${KEYS.join(', ')}.`);
};

const wrongValue = (raw: Record<string, unknown>, origins: ReadonlyMap<string, string>, issue: z.core.$ZodIssue | undefined): UserError => {
	const key = String(issue?.path[0] ?? '') as SettingKey;
	const shown = SECRETS.has(key) ? '(secret)' : JSON.stringify(raw[key]);
	const place = origins.get(key) ?? 'the settings';
	const name = place === CONFIG_FILE ? key : ENVIRONMENT[key];
	return new UserError(`${name}=${shown} in ${place} is not allowed: ${issue?.message ?? 'wrong value'}.`);
};

/** A setting's value as text. */
export const settingText = (value: EffectiveSetting['value']): string => (Array.isArray(value) ? value.join(', ') : String(value ?? ''));

/**
 * Merges sources, the first of which wins, and checks every value.
 * @param keys settings to look at; the others are left at their defaults
 * @throws {UserError} that names the setting, where it stands, its value and what is allowed
 */
export const mergeSettings = (
	sources: readonly SettingSource[],
	keys: readonly SettingKey[] = KEYS,
): { settings: Settings; effective: EffectiveSetting[] } => {
	for (const source of sources) checkKeys(source);
	const raw: Record<string, unknown> = {};
	const origins = new Map<string, string>();
	for (const key of keys) {
		const source = sources.find(({ values }) => values[key] !== undefined);
		if (source === undefined) continue;
		raw[key] = source.values[key];
		origins.set(key, source.origin);
	}
	const parsed = Settings.safeParse(raw);
	if (!parsed.success) throw wrongValue(raw, origins, parsed.error.issues[0]);
	const effective = keys.map((key) => ({ key, value: parsed.data[key], origin: origins.get(key) ?? 'default' }));
	return { settings: parsed.data, effective };
};

const readIfThere = (file: string): string | undefined => {
	try {
		return readFileSync(file, 'utf8');
	} catch (error) {
		const code = errorCode(error);
		if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
		throw new UserError(`${file} cannot be read (${code ?? messageOf(error)}); mend its permissions or remove it.`, { cause: error });
	}
};

const readJson = (file: string, origin: string): SettingSource | undefined => {
	const text = readIfThere(file);
	if (text === undefined) return undefined;
	try {
		const value: unknown = JSON.parse(text);
		if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { origin, values: { ...value } };
	} catch (error) {
		throw new UserError(`${file} is not valid JSON (${messageOf(error)}); mend or remove it.`, { cause: error });
	}
	throw new UserError(`${file} must hold one JSON object; mend or remove it.`);
};

/** The settings among environment variables. An empty variable counts as not set. */
export const fromEnvironment = (env: NodeJS.Dict<string>, origin: string): SettingSource => ({
	origin,
	values: Object.fromEntries(
		KEYS.map((key) => [key, env[ENVIRONMENT[key]]]).filter(([, value]) => value !== undefined && value !== ''),
	) as Record<string, unknown>,
});

/** All sources that apply in the caller's folder, nearest first. */
export const settingSources = (env: NodeJS.Dict<string> = process.env): SettingSource[] => {
	const folder = callerFolder();
	const dotEnv = readIfThere(join(folder, '.env'));
	return [
		fromEnvironment(env, 'the environment'),
		...(dotEnv === undefined ? [] : [fromEnvironment(parseEnv(dotEnv), '.env')]),
		readJson(join(folder, CONFIG_FILE), CONFIG_FILE),
		readJson(loginFile(), 'limner login'),
	].filter((source) => source !== undefined);
};

let cached: Settings | undefined;

/** The settings that apply, read once. */
export const settings = (): Settings => {
	// A PORT that some platform sets for its own ends must not stop a command that does not listen.
	cached ??= mergeSettings(settingSources(), CLIENT_KEYS).settings;
	return cached;
};

/** Makes the gateway's settings from files visible to `limner up`, which reads the environment. */
export const exportGatewaySettings = (): void => {
	const { effective } = mergeSettings(settingSources());
	for (const { key, value, origin } of effective) {
		if (!GATEWAY_KEYS.includes(key) || origin === 'default' || value === undefined) continue;
		process.env[ENVIRONMENT[key]] ??= settingText(value);
	}
};

/**
 * Values of flags. A wrong one is told in words that name what is allowed.
 * @module
 */
import { InvalidArgumentError } from 'commander';
import { resolveScheduler } from '@limner/shared';
import { parseSize, SIZE_MIN_BYTES } from '../config/settings.ts';
import { parseDevices } from '../engines/devices.ts';
import { messageOf } from '../lib/user-error.ts';

/** A whole number within bounds. */
export const whole =
	(min: number, max: number) =>
	(text: string): number => {
		const value = Number(text);
		if (text.trim() === '' || !Number.isSafeInteger(value) || value < min || value > max) {
			throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
		}
		return value;
	};

/** A number within bounds. */
export const decimal =
	(min: number, max: number) =>
	(text: string): number => {
		const value = Number(text);
		if (text.trim() === '' || !Number.isFinite(value) || value < min || value > max) {
			throw new InvalidArgumentError(`It must be a number from ${min} to ${max}.`);
		}
		return value;
	};

/** One of some words. */
export const oneOf =
	<T extends string>(...words: readonly T[]) =>
	(text: string): T => {
		const word = words.find((candidate) => candidate === text);
		if (word === undefined) throw new InvalidArgumentError(`Choose one of ${words.join(', ')}.`);
		return word;
	};

/** Collects a flag that may be repeated. */
export const collect = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value];

/** A size like `20GB`, `512 MiB` or `1000000`, in bytes. */
export const byteSize = (text: string): number => {
	const bytes = parseSize(text);
	if (!Number.isFinite(bytes) || bytes < SIZE_MIN_BYTES) throw new InvalidArgumentError('It must be a size of at least 1 MB, like 20GB.');
	return bytes;
};

/**
 * Two whole numbers with a sign between them, like `1024x768` or `0,64`: written horizontal first, as people do, and
 * returned vertical first, as the request wants them.
 */
export const pairOf =
	(separator: 'x' | ',') =>
	(text: string): [number, number] => {
		const match = /^(\d{1,5})([x,×])(\d{1,5})$/i.exec(text.trim());
		const sign = match?.[2]?.toLowerCase().replace('×', 'x');
		if (match === null || sign !== separator)
			throw new InvalidArgumentError(`It must be two whole numbers like ${separator === 'x' ? '1024x768' : '0,64'}.`);
		return [Number(match[3]), Number(match[1])];
	};

const TIME_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A time like `90s`, `10m` or `2h`, in milliseconds. */
export const duration =
	(minMs: number, maxMs: number) =>
	(text: string): number => {
		const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(text.trim());
		const ms = match === null ? Number.NaN : Math.round(Number(match[1]) * (TIME_UNITS[match[2] ?? ''] ?? Number.NaN));
		if (!Number.isFinite(ms) || ms < minMs || ms > maxMs)
			throw new InvalidArgumentError(`It must be a time from ${minMs / 1000}s to ${maxMs / 3_600_000}h, like 90s, 10m or 2h.`);
		return ms;
	};

/** Devices in the order of preference, or `auto`. */
export const deviceList = (text: string): string => {
	try {
		parseDevices(text);
		return text;
	} catch (error) {
		throw new InvalidArgumentError(messageOf(error));
	}
};

/** A scheduler by name, label or alias. */
export const schedulerName = (text: string): string => {
	const name = resolveScheduler(text);
	if (name === undefined) throw new InvalidArgumentError('It is not a scheduler that Limner knows, like ddim, euler_a or dpmpp_2m_karras.');
	return name;
};

/** Address of a gateway. */
export const gatewayAddress = (text: string): string => {
	const url = URL.canParse(text) ? new URL(text) : undefined;
	if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
		throw new InvalidArgumentError('It must be an address like http://127.0.0.1:8787 or https://limner.example.com.');
	}
	return text.replace(/\/+$/, '');
};

/**
 * A1111's `parameters` text, in which most tools that make pictures tell how they made them. Pure.
 * @module
 */
import { resolveScheduler, SCHEDULERS } from './schedulers.ts';

/** What the text tells. */
export interface InfotextSource {
	/** Of Limner. */
	version: string;
	request: {
		task: 'txt2img' | 'img2img' | 'inpaint';
		prompt: string;
		negativePrompt: string | null;
		width: number;
		height: number;
		steps: number;
		guidance: number;
		scheduler?: string | undefined;
		seed: number;
		strength?: number | undefined;
	};
	model: { name: string; sha256: string };
	/** Further fields, before the version. */
	extra?: Record<string, string | number>;
}

const samplerLabel = (name: string | undefined): string => {
	const known = name === undefined ? undefined : resolveScheduler(name);
	return known === undefined ? (name ?? 'Automatic') : SCHEDULERS[known].label;
};

/** A prompt of several lines stays readable, but must not look like the last line. */
export const infotext = (record: InfotextSource): string => {
	const { request, model } = record;
	const fields: [string, string | number | undefined][] = [
		['Steps', request.steps],
		['Sampler', samplerLabel(request.scheduler)],
		['CFG scale', request.guidance],
		['Seed', request.seed],
		['Size', `${request.width}x${request.height}`],
		['Model hash', model.sha256.slice(0, 10)],
		['Model', model.name],
		['Denoising strength', request.task === 'txt2img' ? undefined : request.strength],
		...Object.entries(record.extra ?? {}),
		['Version', `limner ${record.version}`],
	];
	const lines = [request.prompt];
	if (request.negativePrompt !== null && request.negativePrompt !== '') lines.push(`Negative prompt: ${request.negativePrompt}`);
	lines.push(
		fields
			.filter(([, value]) => value !== undefined)
			.map(([name, value]) => `${name}: ${quoted(String(value))}`)
			.join(', '),
	);
	return lines.join('\n');
};

/** A1111 quotes values that hold separators, as JSON strings. */
const quoted = (value: string): string => (/[,\n:"]/.test(value) ? JSON.stringify(value) : value);

const unquoted = (value: string): string => {
	if (!value.startsWith('"')) return value;
	try {
		return String(JSON.parse(value));
	} catch {
		return value;
	}
};

export interface Infotext {
	prompt: string;
	negativePrompt: string | null;
	fields: Record<string, string>;
}

/** Reads an A1111 text, ours or another program's. */
export const parseInfotext = (text: string): Infotext => {
	const lines = text.split('\n');
	const last = lines.at(-1) ?? '';
	const hasFields = /^Steps: \d+/.test(last);
	const fields: Record<string, string> = {};
	if (hasFields) {
		for (const match of last.matchAll(/\s*([\w][\w \-/]*):\s*("(?:\\.|[^"\\])+"|[^,]*)(?:,|$)/g))
			fields[(match[1] ?? '').trim()] = unquoted(match[2] ?? '');
	}
	const words = hasFields ? lines.slice(0, -1) : lines;
	const negative = words.findIndex((line) => line.startsWith('Negative prompt: '));
	if (negative < 0) return { prompt: words.join('\n'), negativePrompt: null, fields };
	return {
		prompt: words.slice(0, negative).join('\n'),
		negativePrompt: words.slice(negative).join('\n').slice('Negative prompt: '.length),
		fields,
	};
};

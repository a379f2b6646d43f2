/**
 * Reading a JSON body within limits, before anything parses it.
 * @module
 */
import { BODY_LIMITS, LimnerError } from '@limner/shared';
import { readBounded } from '../storage/body.ts';

/** Deepest nesting of arrays and objects in a JSON text, found without parsing it: a parser may run out of stack. */
export const jsonDepth = (text: string): number => {
	let depth = 0;
	let deepest = 0;
	let inString = false;
	for (let i = 0; i < text.length; i++) {
		const char = text.charCodeAt(i);
		if (inString) {
			if (char === 0x5c) i++;
			else if (char === 0x22) inString = false;
		} else if (char === 0x22) inString = true;
		else if (char === 0x7b || char === 0x5b) deepest = Math.max(deepest, ++depth);
		else if (char === 0x7d || char === 0x5d) depth--;
	}
	return deepest;
};

const tooLarge = (max: number): LimnerError =>
	new LimnerError('payload_too_large', { detail: `a JSON body may have at most ${max} bytes` });

const invalid = (detail: string): LimnerError => new LimnerError('invalid_json', { detail });

/**
 * Checks a body's text: UTF-8, depth, syntax.
 * @throws {LimnerError} `invalid_json`
 */
export const checkJson = (bytes: Uint8Array, maxDepth: number = BODY_LIMITS.jsonDepth): string => {
	if (bytes.byteLength === 0) throw invalid('the body is empty; a JSON object is needed');
	let text: string;
	try {
		text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes);
	} catch {
		throw invalid('the body is not UTF-8');
	}
	if (jsonDepth(text) > maxDepth) throw invalid(`the body is nested deeper than ${maxDepth} levels`);
	try {
		JSON.parse(text);
	} catch (error) {
		throw invalid(error instanceof Error ? error.message : 'the body is not JSON');
	}
	return text;
};

/**
 * The text of a request's JSON body. A Content-Length over the limit is refused before a byte is read; without one the
 * bytes are counted.
 * @throws {LimnerError} `payload_too_large`, `invalid_json`
 */
export const readJsonText = async (request: Request, max: number = BODY_LIMITS.jsonBytes): Promise<string> => {
	if (Number(request.headers.get('content-length') ?? 0) > max) throw tooLarge(max);
	const bytes = await readBounded(request.body, max, 'drain');
	if (bytes === 'too_large') throw tooLarge(max);
	return checkJson(bytes);
};

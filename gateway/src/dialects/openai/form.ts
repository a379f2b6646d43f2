/**
 * Multipart bodies of edits and variations: scalar fields as JSON values, files apart.
 * @module
 */
import { BODY_LIMITS, LimnerError } from '@limner/shared';
import type { AppContext } from '../../lib/context.ts';
import { readBounded } from '../../storage/body.ts';

export interface Form {
	/** Scalar fields, with numbers and booleans read from their texts. */
	fields: Record<string, unknown>;
	images: File[];
	mask: File | undefined;
}

const NUMBERS = new Set(['n', 'seed', 'steps', 'guidance_scale', 'strength', 'output_compression', 'partial_images']);
const BOOLEANS = new Set(['stream']);

/** The value that a text stands for; texts that are none are left for the schema to refuse. */
export const scalar = (name: string, text: string): unknown => {
	if (NUMBERS.has(name) && text.trim() !== '' && Number.isFinite(Number(text))) return Number(text);
	if (BOOLEANS.has(name) && /^(?:true|false)$/i.test(text)) return text.toLowerCase() === 'true';
	return text;
};

const isImageField = (name: string): boolean => /^image(?:\[\d*\])?$/.test(name);

/**
 * Reads a multipart body into memory.
 * @throws {LimnerError} `payload_too_large`, `bad_request`
 */
export const readForm = async (c: AppContext): Promise<Form> => {
	const bytes = await readBounded(c.req.raw.body, BODY_LIMITS.pictureJsonBytes, 'drain');
	if (bytes === 'too_large') {
		throw new LimnerError('payload_too_large', { detail: `the form may have at most ${BODY_LIMITS.pictureJsonBytes} bytes` });
	}
	let data: FormData;
	try {
		data = await new Response(bytes, { headers: { 'content-type': c.req.header('content-type') ?? '' } }).formData();
	} catch (cause) {
		throw new LimnerError('bad_request', { detail: 'the multipart body could not be read', cause });
	}
	const form: Form = { fields: {}, images: [], mask: undefined };
	for (const [name, value] of data.entries()) {
		if (typeof value === 'string') form.fields[name] = scalar(name, value);
		else if (isImageField(name)) form.images.push(value);
		else if (name === 'mask') form.mask = value;
		else form.fields[name] = 'a file';
	}
	return form;
};

/** Bytes of an uploaded file. */
export const fileBytes = async (file: File): Promise<Uint8Array<ArrayBuffer>> => new Uint8Array(await file.arrayBuffer());

/**
 * Ranges and conditions of HTTP reads (RFC 9110 §13, §14). Pure.
 * @module
 */

import type { ByteRange } from './port.ts';

const opaque = (tag: string): string => tag.trim().replace(/^W\//, '');

/** Whether `If-None-Match` names this entity tag (weak comparison). */
export const noneMatchHits = (header: string | null, etag: string): boolean => {
	if (header === null) return false;
	return header.trim() === '*' || (header.match(/(?:W\/)?"[^"]*"/g) ?? []).some((tag) => opaque(tag) === opaque(etag));
};

/** Whether `If-Range` allows a partial answer: only the very same entity tag does. */
export const ifRangeAllows = (header: string | null, etag: string): boolean => header === null || header.trim() === etag;

/** The last `count` bytes. */
const suffix = (count: number, size: number): ByteRange | 'unsatisfiable' => {
	const length = Math.min(count, size);
	return length === 0 ? 'unsatisfiable' : { offset: size - length, length };
};

/**
 * Reads a `Range` header. Everything but one satisfiable or unsatisfiable byte range answers `full`, as the standard
 * allows: several ranges, other units, nonsense.
 * @param size bytes of the whole object
 */
export const readRange = (header: string | null, size: number): ByteRange | 'full' | 'unsatisfiable' => {
	const [, first = '', last = ''] = /^bytes=\s*(\d*)-(\d*)\s*$/i.exec(header ?? '') ?? [];
	if (first === '') return last === '' ? 'full' : suffix(Number(last), size);
	const offset = Number(first);
	const end = last === '' ? Number.MAX_SAFE_INTEGER : Number(last);
	if (end < offset) return 'full';
	return offset >= size ? 'unsatisfiable' : { offset, length: Math.min(end, size - 1) - offset + 1 };
};

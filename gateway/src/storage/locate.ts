/**
 * Finds a picture in a job's row. Pure.
 * @module
 */
import { isTerminal, LimnerError, type ImageRecord } from '@limner/shared';
import type { JobRow } from '../rpc.ts';

export type Located = { kind: 'found'; record: ImageRecord } | { kind: 'gone'; detail: string } | { kind: 'missing'; detail: string };

/** The picture, or why there is none. A job may have lost single pictures: what is still listed is still there. */
export const locateImage = (row: Pick<JobRow, 'state' | 'images' | 'purgedAt' | 'spec'>, index: number): Located => {
	const record = row.images.find((image) => image.index === index);
	if (record) return { kind: 'found', record };
	if (index >= row.spec.n) return { kind: 'missing', detail: `the job makes ${row.spec.n} pictures, counted from 0` };
	if (row.purgedAt !== undefined) return { kind: 'gone', detail: `the picture was removed on ${new Date(row.purgedAt).toISOString()}` };
	if (!isTerminal('job', row.state)) return { kind: 'missing', detail: `the picture is not made yet; the job is ${row.state}` };
	return { kind: 'missing', detail: `the picture was never made; the job has ${row.state}` };
};

/** @throws {LimnerError} `gone`, `not_found` */
export const foundOr = (located: Located): ImageRecord => {
	if (located.kind === 'found') return located.record;
	throw new LimnerError(located.kind === 'gone' ? 'gone' : 'not_found', { detail: located.detail });
};

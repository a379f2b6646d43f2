/**
 * Limits of a workspace as fields of a form. Pure.
 * @module
 */
import type { WorkspaceLimits } from '@limner/sdk';
import { workspaces as texts } from '../../strings/operator.ts';
import { fieldsOf, limitsOf, limitWords, type LimitFields } from '../keys/limits.tsx';

const GIB = 1024 ** 3;
const DAY_MS = 86_400_000;

/** What a workspace has besides the limits that keys have too. */
export interface WorkspaceFields {
	/** By window and metric, and `queued`. */
	work: LimitFields;
	concurrent: string;
	storageGib: string;
	retentionDays: string;
}

const textOf = (value: number | undefined, unit = 1): string => (value === undefined ? '' : String(Math.round((value / unit) * 100) / 100));

export const toFields = ({ concurrent, storageBytes, retentionMs, ...work }: WorkspaceLimits): WorkspaceFields => ({
	work: fieldsOf(work),
	concurrent: textOf(concurrent),
	storageGib: textOf(storageBytes, GIB),
	retentionDays: textOf(retentionMs, DAY_MS),
});

const numberOf = (name: keyof WorkspaceLimits, text: string, unit = 1): WorkspaceLimits =>
	text.trim() === '' ? {} : { [name]: Math.round(Number(text) * unit) };

/** Limits out of the fields; an empty field sets none. */
export const toLimits = ({ work, concurrent, storageGib, retentionDays }: WorkspaceFields): WorkspaceLimits => ({
	...limitsOf(work),
	...numberOf('concurrent', concurrent),
	...numberOf('storageBytes', storageGib, GIB),
	...numberOf('retentionMs', retentionDays, DAY_MS),
});

/** All limits in a line; nothing where there are none. */
export const wordsOf = (limits: WorkspaceLimits): string => {
	const { work, concurrent, storageGib, retentionDays } = toFields(limits);
	return [
		...(Object.keys(work).length === 0 ? [] : [limitWords(limits)]),
		...(concurrent === '' ? [] : [`${concurrent} ${texts.concurrent.toLowerCase()}`]),
		...(storageGib === '' ? [] : [`${storageGib} ${texts.storageWords}`]),
		...(retentionDays === '' ? [] : [`${retentionDays} ${texts.retentionWords}`]),
	].join(', ');
};

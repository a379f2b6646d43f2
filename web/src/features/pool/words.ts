/**
 * What a machine does, in plain words. Pure.
 * @module
 */
import type { Node } from '@limner/sdk';
import { TIMING } from '@limner/shared/limits';
import { ago, duration, plural } from '../../lib/format.ts';

const SECOND_MS = 1000;

const busyOf = (node: Node): number => node.slots.filter(({ task }) => task !== undefined).length;

const away = (node: Node, now: number): string => {
	if (node.lastSeenAt === null) return 'It has never been here.';
	return `Last heard of ${ago(node.lastSeenAt, now)}. Its work goes to other machines; it takes part again as soon as it is back.`;
};

/** A silent machine is given up when it was not heard of for `TIMING.offlineMs`. */
const suspect = (node: Node, busy: number, now: number): string => {
	const left = node.lastSeenAt === null ? 0 : new Date(node.lastSeenAt).getTime() + TIMING.offlineMs - now;
	const seconds = Math.max(1, Math.ceil(left / SECOND_MS));
	const next = busy === 0 ? `It counts as offline in ${seconds} s` : `${plural(busy, 'task')} will move to other nodes in ${seconds} s`;
	return `Not heard of for a moment. ${next}, unless it answers.`;
};

const stopped = (node: Node, busy: number): string => {
	const first = busy === 0 ? '' : `It finishes ${plural(busy, 'task')} first. `;
	const why = node.modeReason === undefined ? '' : `${node.modeReason} `;
	return `${why}${first}It takes nothing new until it is resumed.`;
};

export const waitsForApproval = (node: Node): boolean => node.mode === 'paused' && (node.modeReason ?? '').includes('approval');

/** What it does now, and what happens next. */
export const nodeSentence = (node: Node, now: number): string => {
	const busy = busyOf(node);
	if (node.mode === 'terminated') return 'Removed; it can not come back with its present identity.';
	if (node.link === 'offline' || node.link === 'pending') return away(node, now);
	if (node.link === 'suspect') return suspect(node, busy, now);
	if (node.mode !== 'active') return stopped(node, busy);
	return busy > 0 ? `Works on ${plural(busy, 'picture')}.` : (node.idleReason ?? 'Ready.');
};

export type Tone = 'good' | 'warn' | 'bad' | 'muted';

export const toneOf = (node: Node): Tone => {
	if (node.mode === 'terminated') return 'muted';
	if (node.link === 'offline') return 'bad';
	if (node.link !== 'online' || node.mode !== 'active') return 'warn';
	return 'good';
};

export type Action = 'pause' | 'resume' | 'drain' | 'terminate' | 'approve';

/** What can be asked of a node in its present mode. */
export const actionsOf = (node: Node): Action[] => {
	if (node.mode === 'terminated') return [];
	if (waitsForApproval(node)) return ['approve', 'terminate'];
	if (node.mode === 'draining') return ['resume', 'pause', 'terminate'];
	return node.mode === 'active' ? ['pause', 'drain', 'terminate'] : ['resume', 'terminate'];
};

/** `1.23 s`, `80 ms` */
export const seconds = (s: number | undefined): string =>
	s === undefined ? '–' : s < 10 && s >= 1 ? `${s.toFixed(2)} s` : duration(s * SECOND_MS);

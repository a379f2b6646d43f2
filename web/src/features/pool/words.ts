/**
 * What a machine does, in plain words. Pure.
 * @module
 */
import type { Node } from '@limner/sdk';
import { ago, plural } from '../../lib/format.ts';

const away = (node: Node, now: number): string => {
	const since = node.lastSeenAt === null ? 'It has never been here.' : `Last heard of ${ago(node.lastSeenAt, now)}.`;
	return `${since} Its work goes to other machines; it takes part again as soon as it is back.`;
};

const suspect = (busy: number): string =>
	`Not heard of for a moment.${busy === 0 ? '' : ` ${plural(busy, 'task')} will move to other machines within seconds.`}`;

const stopped = (node: Node, busy: number): string => {
	const first = busy === 0 ? '' : `It finishes ${plural(busy, 'task')} first. `;
	const why = node.modeReason === undefined ? '' : `${node.modeReason} `;
	return `${why}${first}It takes nothing new until it is resumed.`;
};

/** What it does now, and what happens next. */
export const nodeSentence = (node: Node, now: number): string => {
	const busy = node.slots.filter(({ task }) => task !== undefined).length;
	if (node.mode === 'terminated') return 'Removed; it can not come back with its present identity.';
	if (node.link === 'offline') return away(node, now);
	if (node.link === 'suspect') return suspect(busy);
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

export type Action = 'pause' | 'resume' | 'drain' | 'terminate';

/** What can be asked of a node in its present mode. */
export const actionsOf = (node: Node): Action[] => {
	if (node.mode === 'terminated') return [];
	return node.mode === 'active' ? ['pause', 'drain', 'terminate'] : ['resume', 'terminate'];
};

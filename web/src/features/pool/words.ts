/**
 * What a machine does, in plain words. Pure.
 * @module
 */
import type { Node } from '@limner/sdk';
import { ago, plural } from '../../lib/format.ts';

/** One sentence: what it does now, and what happens next. */
export const nodeSentence = (node: Node, now: number): string => {
	const busy = node.slots.filter(({ task }) => task !== undefined).length;
	if (node.mode === 'terminated') return 'Removed; it can not come back with its present identity.';
	if (node.link === 'offline') {
		const since = node.lastSeenAt === null ? 'It has never been here.' : `Last heard of ${ago(node.lastSeenAt, now)}.`;
		return `${since} Its work goes to other machines; it takes part again as soon as it is back.`;
	}
	if (node.link === 'suspect') return `Not heard of for a moment. ${busy === 0 ? '' : `${plural(busy, 'task')} will move to other machines within seconds.`}`.trim();
	if (node.mode === 'paused') return node.modeReason ?? `Paused. ${busy === 0 ? 'It takes nothing new until it is resumed.' : `It finishes ${plural(busy, 'task')} first.`}`;
	if (node.mode === 'draining') return node.modeReason ?? `Draining: ${busy === 0 ? 'it has finished its work and waits to be resumed.' : `it finishes ${plural(busy, 'task')} and takes nothing new.`}`;
	if (busy > 0) return `Works on ${plural(busy, 'picture')}.`;
	return node.idleReason ?? 'Ready.';
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

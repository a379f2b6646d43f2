import type { Node } from '@limner/sdk';
import { Cpu } from 'lucide-react';
import { t } from '../../strings.ts';
import { phaseWords } from '../create/words.ts';
import { p } from '../../strings/pool.ts';
import { Bar } from '../../ui/bar.tsx';

type Slot = Node['slots'][number];

const STATES: Partial<Record<Slot['state'], string>> = {
	IDLE: p.machines.idle,
	PAUSED: p.machines.paused,
	TERMINATED: p.machines.removed,
};

const wordsOf = ({ task, state }: Slot): string =>
	task === undefined
		? (STATES[state] ?? state.toLowerCase())
		: `${phaseWords(task.phase)}${task.steps > 0 ? ` ${task.step}/${task.steps}` : ''}`;

/** One slot: its device, what it does, and how far it is. */
export const SlotRow = ({ slot, away = false }: { slot: Slot; away?: boolean }) => (
	<li className="flex flex-col gap-1 text-sm">
		<div className="flex items-center gap-2">
			<Cpu size={14} aria-hidden className="shrink-0 text-muted" />
			<span className="min-w-0 flex-1 truncate" title={`${slot.device} · ${slot.slotId}`}>
				{slot.device}
			</span>
			<span className="text-muted tabular-nums">{away ? t.pool.link.offline : wordsOf(slot)}</span>
		</div>
		<Bar
			value={slot.task === undefined ? 0 : slot.task.step / Math.max(1, slot.task.steps)}
			label={`${slot.device} ${slot.slotId}: ${wordsOf(slot)}`}
		/>
	</li>
);

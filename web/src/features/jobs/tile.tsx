import { RotateCw, X } from 'lucide-react';
import { statusLine } from '../create/words.ts';
import { useNodeName } from '../../lib/queries.ts';
import { t } from '../../strings.ts';
import { Bar } from '../../ui/bar.tsx';
import { Button, IconButton } from '../../ui/button.tsx';
import { sayError } from '../../ui/toast.tsx';
import { isOpen, type Entry } from './entry.ts';
import { cancel, dismiss, submit } from './store.ts';

const Frame = ({ entry, index }: { entry: Entry; index: number }) => {
	const image = entry.images.find((one) => one.index === index);
	const source = image?.url ?? entry.previews[index];
	return (
		<div
			className="checkered relative overflow-hidden rounded-xl border border-line"
			style={{ aspectRatio: `${entry.width} / ${entry.height}` }}
		>
			{source === undefined ? null : (
				<img
					src={source}
					alt={image === undefined ? '' : entry.request.prompt}
					width={entry.width}
					height={entry.height}
					data-state={image === undefined ? 'preview' : 'done'}
					className={`size-full object-cover ${image === undefined ? 'blur-[1px]' : ''}`}
				/>
			)}
		</div>
	);
};

const Actions = ({ entry }: { entry: Entry }) => {
	const refused = entry.error !== undefined && entry.job === undefined;
	const again = (): void => {
		dismiss(entry.key);
		void submit(entry.request, entry);
	};
	if (isOpen(entry)) {
		return (
			<Button icon={<X size={16} />} onClick={() => void cancel(entry.key).catch(sayError)}>
				{t.job.cancel}
			</Button>
		);
	}
	return (
		<>
			{refused ? (
				<Button icon={<RotateCw size={16} />} onClick={again}>
					{t.job.retry}
				</Button>
			) : null}
			<IconButton label={t.job.dismiss} onClick={() => dismiss(entry.key)}>
				<X size={16} />
			</IconButton>
		</>
	);
};

const columns = (n: number): string => (n > 1 ? 'grid-cols-2' : 'grid-cols-1');

/** Everything of one job: its pictures or their previews, one line of status, and what can be done about it. */
export const JobTile = ({ entry }: { entry: Entry }) => {
	const open = isOpen(entry);
	const node = useNodeName(entry.status === 'running' ? entry.nodeId : undefined);
	return (
		<article
			aria-label={entry.request.prompt}
			aria-busy={open}
			data-job={entry.key}
			data-status={entry.status}
			className="flex flex-col gap-2"
		>
			<div className={`grid gap-2 ${columns(entry.n)}`}>
				{Array.from({ length: entry.n }, (_, index) => (
					<Frame key={index} entry={entry} index={index} />
				))}
			</div>
			{open ? <Bar value={entry.progress?.fraction ?? 0} label={statusLine(entry)} /> : null}
			<div className="flex items-center gap-2">
				<p className={`min-w-0 flex-1 text-sm ${entry.status === 'failed' ? 'text-bad' : 'text-muted'}`}>
					{entry.status === 'succeeded' ? entry.request.prompt : statusLine(entry, node)}
				</p>
				<Actions entry={entry} />
			</div>
			{(entry.job?.warnings ?? []).map((warning) => (
				<p key={warning} className="text-sm text-warn">
					{warning}
				</p>
			))}
		</article>
	);
};

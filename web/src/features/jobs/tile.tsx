import { RotateCw, X } from 'lucide-react';
import { statusLine } from '../create/words.ts';
import { useNodeName } from '../../lib/queries.ts';
import { t } from '../../strings.ts';
import { Bar } from '../../ui/bar.tsx';
import { Button, IconButton } from '../../ui/button.tsx';
import { sayError } from '../../ui/toast.tsx';
import { isOpen, type Entry } from './entry.ts';
import { cancel, dismiss, retry } from './store.ts';

const FRAME = 'checkered relative block w-full overflow-hidden rounded-xl border border-line';

const Frame = ({ entry, index, onOpen }: { entry: Entry; index: number; onOpen: ((id: string) => void) | undefined }) => {
	const image = entry.images.find((one) => one.index === index);
	const source = image?.url ?? entry.previews[index];
	const style = { aspectRatio: `${entry.width} / ${entry.height}` };
	const picture =
		source === undefined ? null : (
			<img
				src={source}
				alt={image === undefined ? '' : entry.request.prompt}
				width={entry.width}
				height={entry.height}
				data-state={image === undefined ? 'preview' : 'done'}
				className={`size-full object-cover ${image === undefined ? 'blur-[1px]' : ''}`}
			/>
		);
	// The large view needs what only the job itself knows.
	return image === undefined || onOpen === undefined || entry.job === undefined ? (
		<div className={FRAME} style={style}>
			{picture}
		</div>
	) : (
		<button
			type="button"
			aria-label={`${t.create.open}: ${entry.request.prompt}`}
			className={FRAME}
			style={style}
			onClick={() => onOpen(image.id)}
		>
			{picture}
		</button>
	);
};

const Actions = ({ entry }: { entry: Entry }) => {
	if (isOpen(entry)) {
		return (
			<Button icon={<X size={16} />} onClick={() => void cancel(entry.key).catch(sayError)}>
				{t.job.cancel}
			</Button>
		);
	}
	return (
		<>
			{entry.status === 'failed' || entry.status === 'canceled' ? (
				<Button icon={<RotateCw size={16} />} onClick={() => void retry(entry).catch(sayError)}>
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
export const JobTile = ({ entry, onOpen }: { entry: Entry; onOpen?: (id: string) => void }) => {
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
					<Frame key={index} entry={entry} index={index} onOpen={onOpen} />
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

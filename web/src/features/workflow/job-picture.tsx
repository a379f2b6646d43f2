import type { WorkflowJob } from '@limner/sdk';
import { t } from '../../strings.ts';
import { Bar } from '../../ui/bar.tsx';
import { useEntries } from '../jobs/store.ts';
import { isOpenState } from './graph.ts';

const STATE_TEXT: Record<WorkflowJob['state'], string> = {
	waiting: 'text-muted',
	queued: 'text-muted',
	running: 'text-accent',
	succeeded: 'text-good',
	failed: 'text-bad',
	canceled: 'text-muted',
	expired: 'text-bad',
};

export const StateText = ({ job }: { job: WorkflowJob }) => (
	<span className={`text-sm ${STATE_TEXT[job.state]}`}>{t.workflow.states[job.state]}</span>
);

interface Props {
	job: WorkflowJob;
	/** Said by screen readers instead of the prompt. */
	label: string;
	onOpen: (id: string) => void;
}

/** A job's first picture, its preview while it is drawn, or what it waits for. */
export const JobPicture = ({ job, label, onOpen }: Props) => {
	const entry = useEntries().find(({ key }) => key === job.id);
	const image = job.images[0] ?? entry?.images[0];
	const preview = entry?.previews[0];
	const shape = 'relative block aspect-square w-full overflow-hidden rounded-lg border border-line';
	if (image !== undefined) {
		return (
			<button type="button" aria-label={label} onClick={() => onOpen(image.id)} className={shape}>
				<img src={image.url} alt="" width={image.width} height={image.height} data-state="done" className="size-full object-cover" />
			</button>
		);
	}
	return (
		<div className={`${shape} checkered flex items-center justify-center`}>
			{preview === undefined ? null : (
				<img src={preview} alt="" data-state="preview" className="absolute inset-0 size-full object-cover blur-[1px]" />
			)}
			<span className="relative rounded-md bg-panel px-1.5 py-0.5">
				<StateText job={job} />
			</span>
			{isOpenState(job.state) && job.state === 'running' ? (
				<Bar value={entry?.progress?.fraction ?? 0} label={label} className="absolute inset-x-2 bottom-2" />
			) : null}
		</div>
	);
};

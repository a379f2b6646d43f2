import type { Job } from '@limner/sdk';
import { useQuery } from '@tanstack/react-query';
import { ChevronDown, ChevronUp } from 'lucide-react';
import { REQUEST_LIMITS } from '@limner/shared/limits';
import { duration, plural } from '../../lib/format.ts';
import { queries } from '../../lib/queries.ts';
import { useWhyNot } from '../../lib/scopes.ts';
import { client } from '../../lib/session.ts';
import { t } from '../../strings.ts';
import { p } from '../../strings/pool.ts';
import { Bar } from '../../ui/bar.tsx';
import { GatedButton, ReasonedButton } from '../../ui/gate.tsx';
import { Badge, Empty } from '../../ui/panel.tsx';
import { sayError } from '../../ui/toast.tsx';
import { statusLine } from '../create/words.ts';
import { withJob } from '../jobs/entry.ts';
import { cancel, useEntries } from '../jobs/store.ts';
import { inOrder, withPriority } from './order.ts';

const { priorityMin: MIN, priorityMax: MAX } = REQUEST_LIMITS;

/** The shell reads the list every second; here it is only looked at. */
const useOpenJobs = (): Job[] => {
	const { data } = useQuery<Job[]>({ queryKey: ['jobs'], enabled: false });
	return inOrder(data ?? []);
};

const move = async (job: Job, priority: number): Promise<void> => {
	await queries.cancelQueries({ queryKey: ['jobs'] });
	queries.setQueryData<Job[]>(['jobs'], (had) => had && withPriority(had, job.id, priority));
	try {
		await client.jobs.setPriority(job.id, priority);
	} finally {
		await queries.invalidateQueries({ queryKey: ['jobs'] });
	}
};

const Priority = ({ job }: { job: Job }) => {
	const missing = useWhyNot('jobs:write');
	const { priority } = job.request;
	const stuck =
		missing ?? (job.state === 'running' && (job.tasks ?? []).every(({ state }) => state !== 'queued') ? p.queue.running : undefined);
	const to = (next: number): void => void move(job, next).catch(sayError);
	return (
		<div role="group" aria-label={p.queue.priority} className="flex items-center gap-1">
			<span className="text-sm text-muted">
				{p.queue.priority} <span data-priority>{priority}</span>
			</span>
			<ReasonedButton
				kind="quiet"
				className="!px-1.5"
				aria-label={p.queue.raise}
				why={stuck ?? (priority >= MAX ? p.queue.highest : undefined)}
				onClick={() => to(priority + 1)}
			>
				<ChevronUp size={16} aria-hidden />
			</ReasonedButton>
			<ReasonedButton
				kind="quiet"
				className="!px-1.5"
				aria-label={p.queue.lower}
				why={stuck ?? (priority <= MIN ? p.queue.lowest : undefined)}
				onClick={() => to(priority - 1)}
			>
				<ChevronDown size={16} aria-hidden />
			</ReasonedButton>
		</div>
	);
};

/** Place and expectation, for a job that waits. */
const Place = ({ job }: { job: Job }) => {
	const { position, etaMs } = job.queue ?? {};
	if (job.state !== 'queued' || position === undefined) return null;
	return (
		<Badge>
			{p.queue.place} {position}
			{etaMs === undefined ? '' : ` · ${p.queue.about} ${duration(etaMs.high)}`}
		</Badge>
	);
};

/** Why it waits, how many machines refused it for what, and what would help. */
const Why = ({ job }: { job: Job }) => {
	const { reason, feasible = true, refusals = {}, remedies = [] } = job.queue ?? {};
	if (job.state === 'running') return null;
	// The reason names them already.
	const refused = reason === undefined ? Object.entries(refusals) : [];
	return (
		<>
			{reason === undefined ? null : <p className={`text-sm ${feasible ? 'text-muted' : 'text-warn'}`}>{reason}</p>}
			{feasible || reason !== undefined ? null : <p className="text-sm text-warn">{p.queue.noMachine}</p>}
			{refused.length === 0 ? null : (
				<p className="text-sm text-muted">
					{p.queue.refusals} {refused.map(([why, count]) => `${why} (${count})`).join(', ')}
				</p>
			)}
			{remedies.map((remedy) => (
				<p key={remedy} className="text-sm text-warn">
					{remedy}
				</p>
			))}
		</>
	);
};

const QueuedJob = ({ job }: { job: Job }) => {
	const watched = useEntries().find(({ key }) => key === job.id);
	const entry = withJob(watched, job);
	const name = job.request.prompt === '' ? (job.request.taskType ?? '') : job.request.prompt;
	return (
		<li data-queued={job.id} data-state={job.state} className="flex flex-col gap-1.5 rounded-xl border border-line bg-panel p-3">
			<div className="flex flex-wrap items-center gap-x-3 gap-y-1">
				<span className="min-w-40 flex-1 truncate" title={name}>
					{name}
				</span>
				<Place job={job} />
				<span className="text-sm text-muted">{plural(job.request.n, 'picture')}</span>
				<Priority job={job} />
				<GatedButton scope="jobs:write" aria-label={`${t.job.cancel}: ${name}`} onClick={() => void cancel(job.id).catch(sayError)}>
					{t.job.cancel}
				</GatedButton>
			</div>
			<Bar value={entry.progress?.fraction ?? 0} label={statusLine(entry)} />
			{job.state === 'queued' && job.queue !== undefined ? null : (
				<p className="text-sm text-muted">{job.state === 'waiting' ? p.queue.waitsFor : statusLine(entry)}</p>
			)}
			<Why job={job} />
		</li>
	);
};

/** Jobs that are not finished: which is next, why each waits, and what can be done about it. */
export const Queue = () => {
	const jobs = useOpenJobs();
	return (
		<section aria-label={p.queue.title} className="flex flex-col gap-2">
			<h2 className="font-display text-lg">
				{p.queue.title} {jobs.length === 0 ? '' : `(${jobs.length})`}
			</h2>
			{jobs.length === 0 ? <Empty>{p.queue.empty}</Empty> : <p className="text-sm text-muted">{p.queue.lead}</p>}
			<ul className="flex flex-col gap-2">
				{jobs.map((job) => (
					<QueuedJob key={job.id} job={job} />
				))}
			</ul>
		</section>
	);
};

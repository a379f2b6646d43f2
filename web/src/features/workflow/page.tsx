import { Link, useParams } from '@tanstack/react-router';
import { ago } from '../../lib/format.ts';
import { t } from '../../strings.ts';
import { isGrid } from '../grid/axes.ts';
import { Composer } from './composer.tsx';
import { WorkflowDetail } from './detail.tsx';
import { workflowsOf, type Summary } from './graph.ts';
import { useRecentJobs } from './queries.ts';

const THUMBS = 4;

const Card = ({ summary }: { summary: Summary }) => {
	const { id, name, jobs, done, open, at } = summary;
	const pictures = jobs.flatMap(({ images }) => images).slice(0, THUMBS);
	const first = jobs[0];
	return (
		<li>
			<Link
				to={first !== undefined && isGrid(first) ? '/grid/$id' : '/workflow/$id'}
				params={{ id }}
				data-workflow={id}
				className="flex h-full flex-col gap-2 rounded-2xl border border-line bg-panel p-3 hover:border-muted"
			>
				<span className="grid grid-cols-4 gap-1">
					{Array.from({ length: THUMBS }, (_, i) => {
						const picture = pictures[i];
						return (
							<span key={i} className="checkered aspect-square overflow-hidden rounded-md">
								{picture === undefined ? null : <img src={picture.url} alt="" loading="lazy" className="size-full object-cover" />}
							</span>
						);
					})}
				</span>
				<span className="line-clamp-2 font-medium">{name ?? first?.request.prompt ?? t.workflow.unnamed}</span>
				<span className="mt-auto text-sm text-muted">
					{done}/{jobs.length} {t.workflow.jobs}
					{open > 0 ? ` · ${t.workflow.states.running}` : ''} · {ago(at)}
				</span>
			</Link>
		</li>
	);
};

const Recent = () => {
	const { data, isSuccess } = useRecentJobs();
	const found = workflowsOf(data ?? []);
	return (
		<section aria-labelledby="recent-workflows">
			<h2 id="recent-workflows" className="mb-3 font-display text-lg">
				{t.workflow.recent}
			</h2>
			{found.length === 0 && isSuccess ? <p className="text-muted">{t.workflow.none}</p> : null}
			<ul className="grid grid-cols-1 gap-4 sm:grid-cols-2 lg:grid-cols-3">
				{found.map((summary) => (
					<Card key={summary.id} summary={summary} />
				))}
			</ul>
		</section>
	);
};

/** Compose a workflow, and those that ran; with an id in the address one of them. */
export const WorkflowPage = () => {
	const { id } = useParams({ strict: false });
	if (id !== undefined) return <WorkflowDetail key={id} id={id} />;
	return (
		<div className="mx-auto flex max-w-5xl flex-col gap-6 p-4 sm:p-6">
			<div>
				<h1 className="font-display text-2xl">{t.workflow.title}</h1>
				<p className="text-muted">{t.workflow.lead}</p>
			</div>
			<Composer />
			<Recent />
		</div>
	);
};

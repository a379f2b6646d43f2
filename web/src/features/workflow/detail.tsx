import type { Workflow, WorkflowJob } from '@limner/sdk';
import { Link } from '@tanstack/react-router';
import { ArrowLeft, Grid3x3, X } from 'lucide-react';
import { useState } from 'react';
import { t } from '../../strings.ts';
import { Button, IconButton } from '../../ui/button.tsx';
import { Confirm } from '../../ui/dialog.tsx';
import { sayError } from '../../ui/toast.tsx';
import { galleryImages, usePictures } from '../gallery/pictures.tsx';
import { isGrid } from '../grid/axes.ts';
import { CARD_H, CARD_W, dependents, isOpenState, layoutGraph, type Placed } from './graph.ts';
import { JobPicture, StateText } from './job-picture.tsx';
import { cancelSubtree, cancelWorkflow, useWorkflow } from './queries.ts';

interface NodeProps {
	node: Placed;
	onOpen: (id: string) => void;
	onCancel: (job: WorkflowJob) => void;
}

const GraphNode = ({ node: { job, x, y, after }, onOpen, onCancel }: NodeProps) => (
	<li
		data-node-key={job.key}
		data-state={job.state}
		className="absolute flex flex-col gap-1 rounded-xl border border-line bg-raised p-2 shadow-card"
		style={{ width: CARD_W, height: CARD_H, left: x, top: y }}
	>
		<JobPicture job={job} label={`${job.key}: ${job.request.prompt}`} onOpen={onOpen} />
		<div className="flex min-h-9 items-center gap-1">
			<div className="flex min-w-0 flex-1 flex-col">
				<span className="truncate text-sm font-medium" title={job.request.prompt}>
					{job.key}
				</span>
				<StateText job={job} />
			</div>
			{isOpenState(job.state) ? (
				<IconButton label={`${t.workflow.cancelSubtree}: ${job.key}`} onClick={() => onCancel(job)}>
					<X size={16} />
				</IconButton>
			) : null}
		</div>
		<span className="sr-only">
			{after.length === 0 ? '' : `${t.workflow.waitsFor} ${after.join(', ')}. `}
			{job.request.prompt}. {job.error?.message}
		</span>
	</li>
);

/** The jobs with lines from what each waits for. */
const GraphView = ({ jobs, onOpen, onCancel }: Omit<NodeProps, 'node'> & { jobs: readonly WorkflowJob[] }) => {
	const { nodes, edges, width, height } = layoutGraph(jobs);
	return (
		<section
			// Scrolled by keyboard as well.
			tabIndex={0}
			aria-label={t.workflow.graph}
			className="overflow-x-auto rounded-2xl border border-line bg-panel p-4"
		>
			<div className="relative mx-auto" style={{ width, height }}>
				<svg aria-hidden width={width} height={height} className="absolute inset-0 text-muted">
					{edges.map(({ id, path, met }) => (
						<path key={id} d={path} fill="none" stroke="currentColor" strokeWidth={2} strokeDasharray={met ? undefined : '5 5'} />
					))}
				</svg>
				<ol>
					{nodes.map((node) => (
						<GraphNode key={node.job.id} node={node} onOpen={onOpen} onCancel={onCancel} />
					))}
				</ol>
			</div>
		</section>
	);
};

const Failures = ({ jobs }: { jobs: readonly WorkflowJob[] }) => (
	<ul className="flex flex-col gap-1 text-sm text-bad">
		{jobs
			.filter(({ error }) => error !== undefined)
			.map(({ id, key, error }) => (
				<li key={id}>
					{key}: {error?.message}
				</li>
			))}
	</ul>
);

const Title = ({ workflow }: { workflow: Workflow }) => {
	const { jobs, handoffs, state, name, id } = workflow;
	const done = jobs.filter((job) => job.state === 'succeeded').length;
	const grid = jobs[0] !== undefined && isGrid(jobs[0]);
	return (
		<div className="flex flex-wrap items-center gap-3">
			<div className="min-w-0 flex-1">
				<h1 className="font-display text-2xl break-words">{name ?? t.workflow.one}</h1>
				<p role="status" className="text-sm text-muted" data-workflow-state={state}>
					{t.workflow.states[state]} · {done}/{jobs.length} {t.workflow.jobs}
					{handoffs.decided > 0 ? ` · ${handoffs.succeeded}/${handoffs.decided} ${t.workflow.handoffs}` : ''}
				</p>
			</div>
			{grid ? (
				<Link to="/grid/$id" params={{ id }} className="inline-flex items-center gap-2 text-sm text-accent underline">
					<Grid3x3 size={16} aria-hidden />
					{t.workflow.asGrid}
				</Link>
			) : null}
			{state === 'running' ? (
				<Button kind="danger" icon={<X size={16} />} onClick={() => void cancelWorkflow(id).catch(sayError)}>
					{t.workflow.cancelAll}
				</Button>
			) : null}
		</div>
	);
};

/** One workflow: its graph, as it is now. */
export const WorkflowDetail = ({ id }: { id: string }) => {
	const { data: workflow, error } = useWorkflow(id);
	const [asked, setAsked] = useState<WorkflowJob>();
	const { open, lightbox } = usePictures(workflow?.jobs.flatMap(galleryImages) ?? []);
	const also =
		workflow === undefined || asked === undefined ? [] : dependents(workflow.jobs, asked.id).filter(({ state }) => isOpenState(state));
	return (
		<div className="mx-auto flex max-w-6xl flex-col gap-4 p-4 sm:p-6">
			<Link to="/workflow" className="inline-flex items-center gap-2 text-sm text-accent underline">
				<ArrowLeft size={16} aria-hidden />
				{t.workflow.back}
			</Link>
			{workflow === undefined ? (
				<>
					<h1 className="font-display text-2xl">{t.workflow.one}</h1>
					{error === null ? null : (
						<p role="alert" className="text-bad">
							{error.message}
						</p>
					)}
				</>
			) : (
				<>
					<Title workflow={workflow} />
					<GraphView jobs={workflow.jobs} onOpen={open} onCancel={setAsked} />
					<Failures jobs={workflow.jobs} />
				</>
			)}
			<Confirm
				open={asked !== undefined}
				onOpenChange={(shown) => (shown ? undefined : setAsked(undefined))}
				title={t.workflow.cancelTitle}
				lead={also.length === 0 ? t.workflow.cancelAlone : `${t.workflow.cancelText} ${also.map(({ key }) => key).join(', ')}`}
				yes={t.workflow.yes}
				no={t.workflow.no}
				onYes={() => {
					if (asked !== undefined) void cancelSubtree(id, asked.id).catch(sayError);
				}}
			/>
			{lightbox}
		</div>
	);
};

import type { Workflow } from '@limner/sdk';
import { Link } from '@tanstack/react-router';
import { Download, Plus, Workflow as WorkflowIcon, X } from 'lucide-react';
import { useState } from 'react';
import { download } from '../../lib/download.ts';
import { t } from '../../strings.ts';
import { Button } from '../../ui/button.tsx';
import { sayError } from '../../ui/toast.tsx';
import { galleryImages, usePictures } from '../gallery/pictures.tsx';
import { JobPicture } from '../workflow/job-picture.tsx';
import { cancelWorkflow, useWorkflow } from '../workflow/queries.ts';
import { tableOf, type AxisName, type Table } from './axes.ts';
import { gridPng } from './export.ts';

/** `Steps 20`; nothing where there is no axis. */
const named = (axis: AxisName, value: string): string => (axis === 'none' ? '' : `${t.grid.axes[axis]} ${value}`);

const promptOf = (workflow: Workflow): string => workflow.jobs[0]?.request.prompt ?? '';

const Actions = ({ workflow, table }: { workflow: Workflow; table: Table }) => {
	const [busy, setBusy] = useState(false);
	const save = async (): Promise<void> => {
		const texts = {
			title: promptOf(workflow),
			column: (value: string) => named(table.x, value),
			row: (value: string) => named(table.y, value),
		};
		download(await gridPng(table, texts), 'limner-grid.png');
	};
	return (
		<div className="flex flex-wrap items-center gap-2">
			<Button
				icon={<Download size={16} />}
				disabled={busy || workflow.jobs.every(({ images }) => images.length === 0)}
				onClick={() => {
					setBusy(true);
					save()
						.catch(sayError)
						.finally(() => setBusy(false));
				}}
			>
				{t.grid.save}
			</Button>
			{workflow.state === 'running' ? (
				<Button kind="danger" icon={<X size={16} />} onClick={() => void cancelWorkflow(workflow.id).catch(sayError)}>
					{t.grid.cancel}
				</Button>
			) : null}
			<Link to="/workflow/$id" params={{ id: workflow.id }} className="inline-flex items-center gap-2 text-sm text-accent underline">
				<WorkflowIcon size={16} aria-hidden />
				{t.workflow.one}
			</Link>
			<Link to="/grid" className="inline-flex items-center gap-2 text-sm text-accent underline">
				<Plus size={16} aria-hidden />
				{t.grid.another}
			</Link>
		</div>
	);
};

const Cells = ({ table, caption, onOpen }: { table: Table; caption: string; onOpen: (id: string) => void }) => (
	<section tabIndex={0} aria-label={caption} className="overflow-x-auto rounded-2xl border border-line bg-panel p-3">
		<table className="mx-auto border-separate border-spacing-2" data-testid="xy">
			<caption className="sr-only">{caption}</caption>
			<thead>
				<tr>
					<td />
					{table.columns.map((value, i) => (
						<th key={i} scope="col" className="px-1 text-sm font-medium">
							{named(table.x, value)}
						</th>
					))}
				</tr>
			</thead>
			<tbody>
				{table.cells.map((row, j) => (
					<tr key={j}>
						<th scope="row" className="sticky left-0 z-10 bg-panel pr-2 text-right text-sm font-medium whitespace-nowrap">
							{named(table.y, table.rows[j] ?? '')}
						</th>
						{row.map((job, i) => (
							<td key={i} data-cell={`${i},${j}`} data-state={job?.state} className="w-40 max-w-40 min-w-28 p-0">
								{job === undefined ? null : (
									<JobPicture
										job={job}
										label={`${t.grid.cell}: ${named(table.x, table.columns[i] ?? '')} ${named(table.y, table.rows[j] ?? '')}`}
										onOpen={onOpen}
									/>
								)}
							</td>
						))}
					</tr>
				))}
			</tbody>
		</table>
	</section>
);

/** The table of a workflow; fills as its pictures come. */
export const GridTable = ({ id }: { id: string }) => {
	const { data: workflow, error } = useWorkflow(id);
	const { open, lightbox } = usePictures(workflow?.jobs.flatMap(galleryImages) ?? []);
	const table = workflow === undefined ? undefined : tableOf(workflow);
	const done = workflow?.jobs.filter(({ state }) => state === 'succeeded').length ?? 0;
	return (
		<>
			<div>
				<h1 className="font-display text-2xl">{t.grid.title}</h1>
				<p className="text-muted">{workflow === undefined ? '' : promptOf(workflow)}</p>
				{error === null ? null : (
					<p role="alert" className="text-bad">
						{error.message}
					</p>
				)}
			</div>
			{workflow === undefined || table === undefined ? null : (
				<>
					<p role="status" className="text-sm text-muted" data-workflow-state={workflow.state}>
						{done}/{workflow.jobs.length} {t.grid.done}
					</p>
					<Actions workflow={workflow} table={table} />
					<Cells table={table} caption={promptOf(workflow)} onOpen={open} />
				</>
			)}
			{lightbox}
		</>
	);
};

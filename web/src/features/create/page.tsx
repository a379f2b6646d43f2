import { Link } from '@tanstack/react-router';
import type { Model } from '@limner/sdk';
import { SlidersHorizontal, Sparkles } from 'lucide-react';
import { useState, type KeyboardEvent } from 'react';
import { ableTo, modelOf } from '../../lib/models.ts';
import { useModels } from '../../lib/queries.ts';
import { useValue } from '../../lib/value.ts';
import { t } from '../../strings.ts';
import { Button } from '../../ui/button.tsx';
import { Modal } from '../../ui/dialog.tsx';
import { INPUT } from '../../ui/field.tsx';
import { SubmitRow } from '../../ui/submit.tsx';
import { usePictures, galleryImages } from '../gallery/pictures.tsx';
import { isOpen } from '../jobs/entry.ts';
import { JobTile } from '../jobs/tile.tsx';
import { submit, useEntries } from '../jobs/store.ts';
import { draft, effective, problems, toRequest } from './draft.ts';
import { Recent, useRecent } from './recent.tsx';
import { SettingsPanel } from './settings.tsx';

const send = (model: Model | undefined): void => {
	const wanted = draft.get();
	if (model === undefined || problems(wanted, model).length > 0) return;
	void submit(toRequest(wanted, model, Math.random), effective(wanted, model));
};

const Prompt = ({ model, known }: { model: Model | undefined; known: boolean }) => {
	const current = useValue(draft);
	const why = problems(current, model);
	// Before the models are there, nobody knows that there are none.
	const said = known ? why : why.filter((reason) => reason !== t.create.why.model);
	const onKey = (event: KeyboardEvent): void => {
		if (event.key !== 'Enter' || event.shiftKey) return;
		event.preventDefault();
		send(model);
	};
	return (
		<form
			onSubmit={(event) => {
				event.preventDefault();
				send(model);
			}}
			className="flex flex-col gap-2"
		>
			<label htmlFor="prompt" className="font-display text-xl">
				{t.create.prompt}
			</label>
			<textarea
				id="prompt"
				rows={2}
				maxLength={4000}
				value={current.prompt}
				placeholder={t.create.placeholder}
				onChange={(event) => draft.set({ ...draft.get(), prompt: event.target.value })}
				onKeyDown={onKey}
				className={`${INPUT} resize-y text-base`}
			/>
			<SubmitRow
				icon={<Sparkles size={16} />}
				label={current.n > 1 ? t.create.go : t.create.goOne}
				disabled={why.length > 0}
				whyId="why-not"
				why={said.join(' ')}
			/>
		</form>
	);
};

const Examples = ({ model }: { model: Model | undefined }) => (
	<div className="flex flex-col items-center gap-3 rounded-2xl border border-dashed border-line p-10 text-center">
		<p className="font-display text-xl">{t.create.empty}</p>
		<p className="text-sm text-muted">{t.create.example}</p>
		<div className="flex flex-wrap justify-center gap-2">
			{t.create.examples.map((prompt) => (
				<Button
					key={prompt}
					onClick={() => {
						draft.set({ ...draft.get(), prompt });
						send(model);
					}}
					disabled={model === undefined}
				>
					{prompt}
				</Button>
			))}
		</div>
	</div>
);

const Phone = ({ children }: { children: React.ReactNode }) => {
	const [open, setOpen] = useState(false);
	return (
		<div className="lg:hidden">
			<Button icon={<SlidersHorizontal size={16} />} onClick={() => setOpen(true)}>
				{t.create.more}
			</Button>
			<Modal open={open} onOpenChange={setOpen} title={t.create.more}>
				{children}
			</Modal>
		</div>
	);
};

/** Jobs of workflows have a page of their own. */
const OpenWorkflows = () => {
	const open = Map.groupBy(
		useEntries().filter((entry) => entry.job?.workflow !== undefined && isOpen(entry)),
		({ job }) => job?.workflow?.id ?? '',
	);
	return open.size === 0 ? null : (
		<ul className="flex flex-col gap-1 text-sm">
			{[...open].map(([id, jobs]) => (
				<li key={id}>
					<Link to="/workflow/$id" params={{ id }} className="text-accent underline">
						{jobs[0]?.job?.request.workflow?.name ?? t.workflow.one}
					</Link>{' '}
					<span className="text-muted">
						{t.create.workflowOpen} {jobs.length}
					</span>
				</li>
			))}
		</ul>
	);
};

/** Prompt first; what is being made and what was made below it; the settings beside it, on a phone in a sheet. */
export const CreatePage = () => {
	const current = useValue(draft);
	const { data = [], isSuccess } = useModels();
	const models = ableTo(data, 'txt2img');
	const entries = useEntries().filter(({ job }) => job?.workflow === undefined);
	const model = modelOf(models, current.model);
	const recent = useRecent();
	const made = entries.flatMap(({ job, images }) => (job === undefined ? [] : galleryImages({ ...job, images: [...images] })));
	const { open, lightbox } = usePictures([...made, ...recent.images.filter(({ id }) => made.every((image) => image.id !== id))]);
	const settings =
		model === undefined ? (
			<p className="text-muted">{isSuccess ? t.create.noModels : ''}</p>
		) : (
			<SettingsPanel draft={current} model={model} models={models} onChange={draft.set} />
		);
	return (
		<div className="mx-auto flex max-w-7xl flex-col gap-6 p-4 sm:p-6 lg:flex-row">
			<h1 className="sr-only">{t.create.title}</h1>
			<section className="flex min-w-0 flex-1 flex-col gap-6">
				<Prompt model={model} known={isSuccess} />
				<Phone>{settings}</Phone>
				<OpenWorkflows />
				{entries.length === 0 && recent.isSuccess && recent.images.length === 0 ? <Examples model={model} /> : null}
				<div className="grid grid-cols-1 gap-6 empty:hidden sm:grid-cols-2">
					{entries.map((entry) => (
						<JobTile key={entry.key} entry={entry} onOpen={open} />
					))}
				</div>
				<Recent images={recent.images} onOpen={open} />
			</section>
			<aside aria-label={t.create.more} className="hidden w-80 shrink-0 lg:block">
				<div className="rounded-2xl border border-line bg-panel p-4 shadow-card">{settings}</div>
			</aside>
			{lightbox}
		</div>
	);
};

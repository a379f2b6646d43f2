import { useNavigate, useParams } from '@tanstack/react-router';
import { Grid3x3 } from 'lucide-react';
import { ableTo, modelOf } from '../../lib/models.ts';
import { useModels, useSchedulers } from '../../lib/queries.ts';
import { client } from '../../lib/session.ts';
import { createStored, useValue } from '../../lib/value.ts';
import { t } from '../../strings.ts';
import { Field, INPUT, Select } from '../../ui/field.tsx';
import { SubmitRow, useSending } from '../../ui/submit.tsx';
import { draft, problems, toRequest } from '../create/draft.ts';
import { keepWorkflow } from '../workflow/queries.ts';
import { AXES, planOf, toWorkflow, type Axis, type AxisName } from './axes.ts';
import { GridTable } from './table.tsx';

interface Wanted {
	x: Axis;
	y: Axis;
}

const EXAMPLES: Record<AxisName, string> = { seed: '1, 2, 3, 4', steps: '10, 20, 30', guidance: '3, 5, 7.5', scheduler: '', none: '' };
const wanted = createStored<Wanted>('limner.grid', {
	x: { name: 'seed', text: EXAMPLES.seed },
	y: { name: 'guidance', text: EXAMPLES.guidance },
});

interface AxisProps {
	label: string;
	axis: Axis;
	onChange: (axis: Axis) => void;
}

const Samplers = ({ axis, onChange }: Pick<AxisProps, 'axis' | 'onChange'>) => {
	const { data: schedulers = [] } = useSchedulers();
	const chosen = new Set(axis.text.split(',').map((name) => name.trim()));
	const toggle = (name: string): void => {
		const next = schedulers.filter((one) => (one.name === name ? !chosen.has(name) : chosen.has(one.name)));
		onChange({ ...axis, text: next.map((one) => one.name).join(', ') });
	};
	return (
		<fieldset className="flex max-h-48 flex-col gap-1 overflow-y-auto rounded-lg border border-line bg-raised p-2">
			<legend className="sr-only">{t.grid.pick}</legend>
			{schedulers.map(({ name, label }) => (
				<label key={name} className="flex items-center gap-2 text-sm">
					<input type="checkbox" checked={chosen.has(name)} onChange={() => toggle(name)} className="accent-accent" />
					{label}
				</label>
			))}
		</fieldset>
	);
};

const AxisFields = ({ label, axis, onChange }: AxisProps) => (
	<fieldset className="flex min-w-0 flex-1 flex-col gap-3">
		<legend className="sr-only">{label}</legend>
		<Select
			label={label}
			value={axis.name}
			options={AXES.map((name) => ({ value: name, label: t.grid.axes[name] }))}
			onChange={(name) => onChange({ name: name as AxisName, text: EXAMPLES[name as AxisName] })}
		/>
		{axis.name === 'scheduler' ? <Samplers axis={axis} onChange={onChange} /> : null}
		{axis.name === 'scheduler' || axis.name === 'none' ? null : (
			<Field label={`${label}: ${t.grid.values}`} help={t.grid.help}>
				{(id) => (
					<input id={id} value={axis.text} onChange={(event) => onChange({ ...axis, text: event.target.value })} className={INPUT} />
				)}
			</Field>
		)}
	</fieldset>
);

const useGridForm = () => {
	const current = useValue(draft);
	const { x, y } = useValue(wanted);
	const { data: models = [] } = useModels();
	const model = modelOf(ableTo(models, 'txt2img'), current.model);
	const navigate = useNavigate();
	const plan = planOf(x, y);
	const why = [...problems(current, model), ...(plan.why === undefined ? [] : [plan.why])];
	const start = async (): Promise<void> => {
		if (model === undefined || why.length > 0) return;
		const made = await client.workflows.submit(toWorkflow(toRequest(current, model, Math.random), x, y, plan));
		keepWorkflow(made);
		await navigate({ to: '/grid/$id', params: { id: made.id } });
	};
	return { current, x, y, plan, why, ...useSending(start) };
};

const GridForm = () => {
	const { current, x, y, plan, why, busy, submit } = useGridForm();
	return (
		<form onSubmit={submit} className="flex flex-col gap-4 rounded-2xl border border-line bg-panel p-4">
			<Field label={t.create.prompt}>
				{(id) => (
					<textarea
						id={id}
						rows={2}
						maxLength={4000}
						value={current.prompt}
						placeholder={t.create.placeholder}
						onChange={(event) => draft.set({ ...draft.get(), prompt: event.target.value })}
						className={INPUT}
					/>
				)}
			</Field>
			<p className="text-sm text-muted">{t.grid.base}</p>
			<div className="flex flex-col gap-4 sm:flex-row sm:gap-6">
				<AxisFields label={t.grid.across} axis={x} onChange={(axis) => wanted.set({ x: axis, y })} />
				<AxisFields label={t.grid.down} axis={y} onChange={(axis) => wanted.set({ x, y: axis })} />
			</div>
			<SubmitRow
				icon={<Grid3x3 size={16} />}
				label={t.grid.go}
				disabled={busy || why.length > 0}
				whyId="grid-why"
				why={
					why.length > 0
						? why.join(' ')
						: `${plan.columns.length} × ${plan.rows.length} = ${plan.columns.length * plan.rows.length} ${t.grid.cells}`
				}
			/>
		</form>
	);
};

/** Choose two settings and make a table of pictures; with an id in the address the table of that workflow. */
export const GridPage = () => {
	const { id } = useParams({ strict: false });
	return (
		<div className="mx-auto flex max-w-6xl flex-col gap-5 p-4 sm:p-6">
			{id === undefined ? (
				<>
					<div>
						<h1 className="font-display text-2xl">{t.grid.title}</h1>
						<p className="text-muted">{t.grid.lead}</p>
					</div>
					<GridForm />
				</>
			) : (
				<GridTable key={id} id={id} />
			)}
		</div>
	);
};

import { useNavigate } from '@tanstack/react-router';
import { Play, Plus, Trash2 } from 'lucide-react';
import { useState } from 'react';
import { ableTo, modelOf } from '../../lib/models.ts';
import { useModels } from '../../lib/queries.ts';
import { client } from '../../lib/session.ts';
import { useValue } from '../../lib/value.ts';
import { t } from '../../strings.ts';
import { Button, IconButton } from '../../ui/button.tsx';
import { Field, INPUT, Range, Select } from '../../ui/field.tsx';
import { SubmitRow, useSending } from '../../ui/submit.tsx';
import { draft, toRequest } from '../create/draft.ts';
import { keepWorkflow } from './queries.ts';
import { addStep, FIRST_STEPS, MAX_STEPS, removeStep, stepProblems, stepsToWorkflow, type Step } from './steps.ts';

interface StepProps {
	step: Step;
	number: number;
	/** Steps before it. */
	earlier: readonly Step[];
	onChange: (step: Step) => void;
	onRemove: (() => void) | undefined;
}

const NOTHING = '0';

const withFrom = ({ from: _from, ...rest }: Step, chosen: string): Step => (chosen === NOTHING ? rest : { ...rest, from: Number(chosen) });

const StepFields = ({ step, number, earlier, onChange, onRemove }: StepProps) => (
	<li className="flex flex-col gap-3 rounded-xl border border-line bg-raised p-3" aria-label={`${t.workflow.step} ${number}`}>
		<div className="flex items-start gap-2">
			<Field label={`${t.workflow.step} ${number}`} className="flex-1">
				{(id) => (
					<textarea
						id={id}
						rows={2}
						maxLength={4000}
						value={step.prompt}
						placeholder={t.create.placeholder}
						onChange={(event) => onChange({ ...step, prompt: event.target.value })}
						className={INPUT}
					/>
				)}
			</Field>
			<IconButton label={t.workflow.remove} disabled={onRemove === undefined} onClick={onRemove}>
				<Trash2 size={18} />
			</IconButton>
		</div>
		{earlier.length === 0 ? null : (
			<div className="grid gap-3 sm:grid-cols-2">
				<Select
					label={t.workflow.from}
					value={String(step.from ?? NOTHING)}
					options={[
						{ value: NOTHING, label: t.workflow.fromNothing },
						...earlier.map(({ id }, i) => ({ value: String(id), label: `${t.workflow.step} ${i + 1}` })),
					]}
					onChange={(value) => onChange(withFrom(step, value))}
				/>
				{step.from === undefined ? null : (
					<Range
						label={t.workflow.change}
						help={t.create.help.strength}
						min={0.05}
						max={1}
						step={0.05}
						value={step.strength}
						onChange={(strength) => onChange({ ...step, strength })}
						show={(value) => value.toFixed(2)}
					/>
				)}
			</div>
		)}
	</li>
);

const firstSteps = (): readonly Step[] => FIRST_STEPS.map((step, i) => (i === 0 ? { ...step, prompt: draft.get().prompt } : step));

const useComposer = () => {
	const { data: models = [] } = useModels();
	const wanted = useValue(draft);
	const model = modelOf(ableTo(models, 'txt2img'), wanted.model);
	const [steps, setSteps] = useState(firstSteps);
	const [name, setName] = useState('');
	const navigate = useNavigate();
	const start = async (): Promise<void> => {
		if (model === undefined) return;
		const made = await client.workflows.submit(stepsToWorkflow(steps, toRequest(wanted, model, Math.random), name));
		keepWorkflow(made);
		await navigate({ to: '/workflow/$id', params: { id: made.id } });
	};
	return { steps, setSteps, name, setName, why: stepProblems(steps, model), ...useSending(start) };
};

/** A few pictures, each from an earlier one; model and settings are those of Create. */
export const Composer = () => {
	const { steps, setSteps, name, setName, busy, submit, why } = useComposer();
	const change = (next: Step): void => setSteps(steps.map((step) => (step.id === next.id ? next : step)));
	return (
		<form onSubmit={submit} aria-label={t.workflow.compose} className="flex flex-col gap-4 rounded-2xl border border-line bg-panel p-4">
			<h2 className="font-display text-lg">{t.workflow.compose}</h2>
			<ol className="flex flex-col gap-3">
				{steps.map((step, i) => (
					<StepFields
						key={step.id}
						step={step}
						number={i + 1}
						earlier={steps.slice(0, i)}
						onChange={change}
						onRemove={steps.length > 1 ? () => setSteps(removeStep(steps, step.id)) : undefined}
					/>
				))}
			</ol>
			<Field label={t.workflow.name}>
				{(id) => <input id={id} maxLength={200} value={name} onChange={(event) => setName(event.target.value)} className={INPUT} />}
			</Field>
			<SubmitRow icon={<Play size={16} />} label={t.workflow.go} disabled={busy || why.length > 0} whyId="workflow-why" why={why.join(' ')}>
				<Button icon={<Plus size={16} />} disabled={steps.length >= MAX_STEPS} onClick={() => setSteps(addStep(steps))}>
					{t.workflow.add}
				</Button>
			</SubmitRow>
		</form>
	);
};

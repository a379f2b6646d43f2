import type { Model } from '@limner/sdk';
import { Dices, Lock, LockOpen, RotateCcw } from 'lucide-react';
import { useSchedulers } from '../../lib/queries.ts';
import { t } from '../../strings.ts';
import { Button, IconButton } from '../../ui/button.tsx';
import { Field, INPUT, Range, Select } from '../../ui/field.tsx';
import { effective, MAX_SIDE, MIN_SIDE, presets, SEED_END, withSetting, type Draft } from './draft.ts';

interface Props {
	draft: Draft;
	model: Model;
	onChange: (draft: Draft) => void;
}

const OWN = 'own';

const Size = ({ draft, model, onChange }: Props) => {
	const { width, height } = effective(draft, model);
	const choices = presets(model);
	const chosen = choices.find((preset) => preset.width === width && preset.height === height);
	const set = (w: number, h: number): void => onChange({ ...draft, width: w, height: h });
	const side = (label: string, value: number, change: (value: number) => void) => (
		<input
			type="number"
			aria-label={label}
			min={MIN_SIDE}
			max={MAX_SIDE}
			step={model.sizeMultiple}
			value={value}
			onChange={(event) => change(event.target.valueAsNumber || MIN_SIDE)}
			className={INPUT}
		/>
	);
	return (
		<>
			<Select
				label={t.create.size}
				help={t.create.help.size}
				value={chosen?.name ?? OWN}
				options={[
					...choices.map((preset) => ({ value: preset.name, label: `${preset.name} · ${preset.width} × ${preset.height}` })),
					{ value: OWN, label: t.create.custom },
				]}
				onChange={(name) => {
					const preset = choices.find((one) => one.name === name);
					if (preset === undefined) set(width + model.sizeMultiple, height);
					else set(preset.width, preset.height);
				}}
			/>
			{chosen === undefined ? (
				<div className="flex items-center gap-2">
					{side(t.create.width, width, (value) => set(value, height))}
					<span aria-hidden>×</span>
					{side(t.create.height, height, (value) => set(width, value))}
				</div>
			) : null}
		</>
	);
};

const Seed = ({ draft, onChange }: Omit<Props, 'model'>) => {
	const roll = (): void => onChange({ ...draft, seed: Math.floor(Math.random() * SEED_END) });
	return (
		<Field label={t.create.seed} help={t.create.help.seed}>
			{(id) => (
				<div className="flex items-center gap-1">
					<input
						id={id}
						inputMode="numeric"
						placeholder={t.create.random}
						value={draft.seed ?? ''}
						onChange={(event) => {
							const digits = event.target.value.replaceAll(/\D/g, '').slice(0, 15);
							onChange(withSetting(draft, 'seed', digits === '' ? undefined : Number(digits)));
						}}
						className={INPUT}
					/>
					<IconButton label={t.create.dice} onClick={roll}>
						<Dices size={18} />
					</IconButton>
					<IconButton
						label={draft.seed === undefined ? t.create.keep : t.create.random}
						pressed={draft.seed !== undefined}
						onClick={() => (draft.seed === undefined ? roll() : onChange(withSetting(draft, 'seed', undefined)))}
					>
						{draft.seed === undefined ? <LockOpen size={18} /> : <Lock size={18} />}
					</IconButton>
				</div>
			)}
		</Field>
	);
};

const More = ({ draft, model, onChange }: Props) => {
	const { data: schedulers = [] } = useSchedulers();
	const { steps, guidance, scheduler } = effective(draft, model);
	const set = <K extends keyof Draft>(name: K, value: Draft[K]): void => onChange(withSetting(draft, name, value));
	const known = schedulers.map(({ name, label }) => ({ value: name, label }));
	const options = known.some(({ value }) => value === scheduler) ? known : [{ value: scheduler, label: scheduler }, ...known];
	return (
		<details open>
			<summary className="mb-3 text-sm font-medium">{t.create.more}</summary>
			<div className="flex flex-col gap-4">
				<Field label={t.create.negative} help={t.create.help.negative}>
					{(id) => (
						<textarea
							id={id}
							rows={2}
							maxLength={4000}
							value={draft.negative}
							onChange={(event) => set('negative', event.target.value)}
							className={INPUT}
						/>
					)}
				</Field>
				<Range
					label={t.create.steps}
					help={t.create.help.steps}
					min={1}
					max={150}
					value={steps}
					onChange={(value) => set('steps', value)}
				/>
				<Range
					label={t.create.guidance}
					help={t.create.help.guidance}
					min={0}
					max={30}
					step={0.5}
					value={guidance}
					onChange={(value) => set('guidance', value)}
					show={(value) => value.toFixed(1)}
				/>
				<Select
					label={t.create.scheduler}
					help={t.create.help.scheduler}
					value={scheduler}
					options={options}
					onChange={(value) => set('scheduler', value)}
				/>
				<Button
					kind="quiet"
					icon={<RotateCcw size={16} />}
					onClick={() => onChange({ prompt: draft.prompt, negative: '', n: draft.n, model: model.name })}
				>
					{t.create.reset}
				</Button>
			</div>
		</details>
	);
};

/** Every setting but the prompt; what the model would choose is shown as if it were chosen. */
export const SettingsPanel = ({ draft, model, models, onChange }: Props & { models: readonly Model[] }) => (
	<div className="flex flex-col gap-4">
		<Select
			label={t.create.model}
			help={t.create.help.model}
			value={model.name}
			options={models.map((one) => ({ value: one.name, label: `${one.displayName} (${one.warm ? t.create.warm : t.create.cold})` }))}
			onChange={(name) => onChange({ prompt: draft.prompt, negative: draft.negative, n: draft.n, model: name })}
		/>
		{model.scope === undefined ? null : (
			<details className="text-sm text-muted">
				<summary>{t.create.scope}</summary>
				<p className="mt-1">{model.scope}</p>
			</details>
		)}
		<Size draft={draft} model={model} onChange={onChange} />
		<Range
			label={t.create.count}
			help={t.create.help.count}
			min={1}
			max={16}
			value={draft.n}
			onChange={(value) => onChange(withSetting(draft, 'n', value))}
		/>
		<Seed draft={draft} onChange={onChange} />
		<More draft={draft} model={model} onChange={onChange} />
	</div>
);

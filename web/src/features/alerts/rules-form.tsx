import type { AlertRules } from '@limner/sdk';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { perform, useBusy } from '../../lib/mutate.ts';
import { client } from '../../lib/session.ts';
import { rules as texts } from '../../strings/operator.ts';
import { p } from '../../strings/pool.ts';
import { Button } from '../../ui/button.tsx';
import { Modal } from '../../ui/dialog.tsx';
import { Select } from '../../ui/field.tsx';
import { GatedButton } from '../../ui/gate.tsx';
import { Check, TextInput } from '../../ui/inputs.tsx';
import { Badge, Loaded } from '../../ui/panel.tsx';
import { say } from '../../ui/toast.tsx';
import {
	fieldsIn,
	hasGap,
	RULES,
	SEVERITIES,
	toChange,
	toFields,
	unitOf,
	type RuleField,
	type RuleFields,
	type RuleName,
} from './rules.ts';

const RULES_KEY = ['alert-rules'];
const SEVERITY_OPTIONS = SEVERITIES.map((value) => ({ value, label: p.alerts.severities[value] }));
/** Smallest values that the gateway takes: a second, a percent, a job. */
const LEAST: Record<string, number> = { minutes: 1 / 60, percent: 1, count: 1 };

interface FormProps {
	view: AlertRules;
	fields: RuleFields;
	onChange: (name: string, text: string) => void;
}

const RuleInput = ({ rule, field, fields, onChange }: Omit<FormProps, 'view'> & { rule: RuleName; field: RuleField }) => {
	const name = `${rule}.${field}`;
	const unit = unitOf(field);
	const common = { label: texts.fields[field], value: fields[name] ?? '', onChange: (text: string) => onChange(name, text) };
	return unit === 'severity' ? (
		<Select {...common} options={SEVERITY_OPTIONS} />
	) : (
		<TextInput {...common} type="number" step="any" min={LEAST[unit]} {...(unit === 'percent' ? { max: 100 } : {})} />
	);
};

const Rule = ({ rule, view, fields, onChange }: FormProps & { rule: RuleName }) => {
	const enabled = fields[`${rule}.enabled`] === 'true';
	return (
		<fieldset data-rule={rule} className="flex flex-col gap-2 border-t border-line pt-3">
			<legend className="sr-only">{texts.names[rule]}</legend>
			<div className="flex items-center gap-2">
				<Check
					label={<span className="font-medium">{texts.names[rule]}</span>}
					checked={enabled}
					onChange={(checked) => onChange(`${rule}.enabled`, String(checked))}
				/>
				{view.own[rule] === undefined ? null : <Badge>{texts.own}</Badge>}
			</div>
			{enabled ? (
				<div className="grid grid-cols-2 gap-x-3 gap-y-2">
					{fieldsIn(view.effective, rule).map((field) => (
						<RuleInput key={field} rule={rule} field={field} fields={fields} onChange={onChange} />
					))}
				</div>
			) : null}
		</fieldset>
	);
};

const Escalation = ({ fields, onChange }: Omit<FormProps, 'view'>) => (
	<fieldset className="border-t border-line pt-3">
		<legend className="sr-only">{texts.escalate}</legend>
		<p className="font-medium">{texts.escalate}</p>
		<p className="mb-2 text-sm text-muted">{texts.escalateLead}</p>
		<div className="grid grid-cols-4 gap-3">
			{SEVERITIES.map((severity) => (
				<TextInput
					key={severity}
					label={severity}
					type="number"
					step="any"
					min={LEAST['minutes']}
					value={fields[`escalateAfterMs.${severity}`] ?? ''}
					onChange={(text) => onChange(`escalateAfterMs.${severity}`, text)}
				/>
			))}
		</div>
	</fieldset>
);

const Form = ({ view, onClose }: { view: AlertRules; onClose: () => void }) => {
	const [fields, setFields] = useState(() => toFields(view.effective));
	const [busy, run] = useBusy();
	const onChange = (name: string, text: string): void => setFields((had) => ({ ...had, [name]: text }));
	const set = async (own: AlertRules['own'], said: string): Promise<void> => {
		if (!(await perform(() => client.alerts.setRules(own), RULES_KEY, ['alerts']))) return;
		say(said);
		onClose();
	};
	return (
		<form
			className="flex flex-col gap-4"
			onSubmit={(event) => {
				event.preventDefault();
				void run(() => set(toChange(view, fields), texts.saved));
			}}
		>
			{RULES.map((rule) => (
				<Rule key={rule} rule={rule} view={view} fields={fields} onChange={onChange} />
			))}
			<Escalation fields={fields} onChange={onChange} />
			<div className="flex flex-wrap justify-end gap-2">
				<GatedButton
					scope="supervisor:write"
					kind="quiet"
					disabled={busy || Object.keys(view.own).length === 0}
					onClick={() => void run(() => set({}, texts.resetDone))}
				>
					{texts.reset}
				</GatedButton>
				<Button onClick={onClose}>{p.common.cancel}</Button>
				<GatedButton
					scope="supervisor:write"
					type="submit"
					kind="primary"
					disabled={busy}
					why={hasGap(fields) ? texts.numberNeeded : undefined}
				>
					{texts.save}
				</GatedButton>
			</div>
		</form>
	);
};

/** When alerts are raised, how bad they are, and when they become worse. */
export const RulesDialog = ({ onClose }: { onClose: () => void }) => {
	const query = useQuery({ queryKey: RULES_KEY, queryFn: ({ signal }) => client.alerts.rules({ signal }), staleTime: 0 });
	return (
		<Modal open onOpenChange={onClose} title={texts.title} lead={texts.lead}>
			<Loaded query={query}>{query.data === undefined ? null : <Form view={query.data} onClose={onClose} />}</Loaded>
		</Modal>
	);
};

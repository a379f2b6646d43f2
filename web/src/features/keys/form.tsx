import type { ApiKey, ApiKeyRequest, Scope } from '@limner/sdk';
import { SCOPES } from '@limner/shared/scopes';
import { useState } from 'react';
import { mayDo } from '../../lib/may.ts';
import { useBusy } from '../../lib/mutate.ts';
import { useMe } from '../../lib/scopes.ts';
import { p } from '../../strings/pool.ts';
import { Button } from '../../ui/button.tsx';
import { Modal } from '../../ui/dialog.tsx';
import { Select } from '../../ui/field.tsx';
import { ReasonedButton } from '../../ui/gate.tsx';
import { Check, TextInput } from '../../ui/inputs.tsx';
import { fieldsOf, LimitInputs, limitsOf } from './limits.tsx';

const DAY_MS = 86_400_000;
const EXPIRIES: Record<Exclude<keyof typeof p.keys.expiries, 'never'>, number> = {
	day: DAY_MS,
	week: 7 * DAY_MS,
	month: 30 * DAY_MS,
	year: 365 * DAY_MS,
};

const PRESETS: Record<keyof typeof p.keys.presets, readonly Scope[]> = {
	make: ['jobs:read', 'jobs:write', 'images:read', 'images:write'],
	read: SCOPES.filter((scope) => scope.endsWith(':read')),
	node: ['nodes:join'],
};

interface KeyFormProps {
	/** Absent: a new one. */
	existing?: ApiKey;
	onSubmit: (request: ApiKeyRequest) => Promise<unknown>;
	onClose: () => void;
}

const ScopeChoice = ({ chosen, onChange }: { chosen: ReadonlySet<Scope>; onChange: (chosen: ReadonlySet<Scope>) => void }) => {
	const me = useMe();
	const mine = (scope: Scope): boolean => me === undefined || mayDo(me.scopes, scope);
	return (
		<fieldset>
			<legend className="text-sm font-medium">{p.keys.scopes}</legend>
			<div className="my-1.5 flex flex-wrap gap-2">
				{(Object.keys(PRESETS) as (keyof typeof PRESETS)[]).map((name) => (
					<Button key={name} className="!min-h-7 !py-0.5" onClick={() => onChange(new Set(PRESETS[name].filter(mine)))}>
						{p.keys.presets[name]}
					</Button>
				))}
			</div>
			<div className="grid grid-cols-2 gap-x-3 sm:grid-cols-3">
				{SCOPES.map((scope) => (
					<Check
						key={scope}
						label={<code className="text-xs">{scope}</code>}
						checked={chosen.has(scope)}
						disabled={!mine(scope)}
						title={mine(scope) ? undefined : p.keys.notYours}
						onChange={(checked) => onChange(new Set(checked ? [...chosen, scope] : [...chosen].filter((one) => one !== scope)))}
					/>
				))}
			</div>
		</fieldset>
	);
};

const namesOf = (text: string): string[] =>
	text
		.split(',')
		.map((name) => name.trim())
		.filter((name) => name !== '');

const KEEP = 'keep';
const expiryOf = (choice: string, existing: ApiKey | undefined): string | null => {
	if (choice === KEEP) return existing?.expiresAt ?? null;
	return choice === 'never' ? null : new Date(Date.now() + EXPIRIES[choice as keyof typeof EXPIRIES]).toISOString();
};

const useDraft = (existing: ApiKey | undefined) => {
	const [name, setName] = useState(existing?.name ?? '');
	const [scopes, setScopes] = useState<ReadonlySet<Scope>>(new Set((existing?.scopes ?? PRESETS.make) as Scope[]));
	const [expires, setExpires] = useState<string>(existing === undefined ? 'never' : KEEP);
	const [models, setModels] = useState((existing?.models ?? []).join(', '));
	const [limits, setLimits] = useState(fieldsOf(existing?.limits));
	const request = (): ApiKeyRequest => ({
		name: name.trim(),
		scopes: [...scopes],
		expiresAt: expiryOf(expires, existing),
		models: namesOf(models).length === 0 ? null : namesOf(models),
		limits: limitsOf(limits),
	});
	const why = name.trim() === '' ? p.keys.nameNeeded : scopes.size === 0 ? p.keys.scopesNeeded : undefined;
	return { name, setName, scopes, setScopes, expires, setExpires, models, setModels, limits, setLimits, request, why };
};

/** A new key, or what a key may do. */
export const KeyForm = ({ existing, onSubmit, onClose }: KeyFormProps) => {
	const draft = useDraft(existing);
	const [busy, run] = useBusy();
	const expiries = [
		...(existing === undefined
			? []
			: [{ value: KEEP, label: existing.expiresAt === null ? p.keys.expiries.never : new Date(existing.expiresAt).toLocaleString() }]),
		...Object.entries(p.keys.expiries)
			.filter(([value]) => existing === undefined || existing.expiresAt !== null || value !== 'never')
			.map(([value, label]) => ({ value, label })),
	];
	return (
		<Modal open onOpenChange={onClose} title={existing === undefined ? p.keys.addTitle : p.keys.editTitle} lead={p.keys.lead}>
			<form
				className="flex flex-col gap-4"
				onSubmit={(event) => {
					event.preventDefault();
					if (draft.why === undefined) void run(() => onSubmit(draft.request()));
				}}
			>
				<div className="grid grid-cols-2 gap-3">
					<TextInput label={p.keys.name} placeholder={p.keys.nameHint} maxLength={80} value={draft.name} onChange={draft.setName} />
					<Select label={p.keys.expires} value={draft.expires} options={expiries} onChange={draft.setExpires} />
				</div>
				<ScopeChoice chosen={draft.scopes} onChange={draft.setScopes} />
				<TextInput label={p.keys.models} placeholder={p.keys.modelsHint} value={draft.models} onChange={draft.setModels} />
				<details open={existing?.limits !== undefined && existing.limits !== null}>
					<summary className="text-sm font-medium">{p.keys.limits}</summary>
					<p className="my-1 text-sm text-muted">{p.keys.limitsHelp}</p>
					<LimitInputs fields={draft.limits} onChange={draft.setLimits} />
				</details>
				<div className="flex justify-end gap-2">
					<Button onClick={onClose}>{p.common.cancel}</Button>
					<ReasonedButton type="submit" kind="primary" why={draft.why} disabled={busy}>
						{existing === undefined ? p.keys.create : p.common.save}
					</ReasonedButton>
				</div>
			</form>
		</Modal>
	);
};

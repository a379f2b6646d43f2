import type { ApiKey } from '@limner/sdk';
import { useQuery } from '@tanstack/react-query';
import { Plus } from 'lucide-react';
import { useState } from 'react';
import { ago } from '../../lib/format.ts';
import { perform } from '../../lib/mutate.ts';
import { queries } from '../../lib/queries.ts';
import { useMay, useMe } from '../../lib/scopes.ts';
import { client } from '../../lib/session.ts';
import { p } from '../../strings/pool.ts';
import { AskButton } from '../../ui/ask.tsx';
import { Button } from '../../ui/button.tsx';
import { Modal } from '../../ui/dialog.tsx';
import { Select } from '../../ui/field.tsx';
import { GatedButton } from '../../ui/gate.tsx';
import { Check } from '../../ui/inputs.tsx';
import { Badge, Empty, Loaded, NoScope } from '../../ui/panel.tsx';
import { SecretDialog } from '../../ui/secret.tsx';
import { KeyForm } from './form.tsx';
import { limitWords } from './limits.tsx';

const KEYS = ['keys'];

const dateOf = (at: string): string => new Date(at).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });

const Rotate = ({ apiKey, onClose, onMade }: { apiKey: ApiKey; onClose: () => void; onMade: (key: string) => void }) => {
	const [grace, setGrace] = useState('3600');
	const go = async (): Promise<void> => onMade((await client.keys.rotate(apiKey.id, Number(grace))).key);
	return (
		<Modal open onOpenChange={onClose} title={p.keys.rotateTitle} lead={`${nameOf(apiKey)}. ${p.keys.rotateText}`}>
			<Select
				label={p.keys.grace}
				value={grace}
				options={Object.entries(p.keys.graces).map(([value, label]) => ({ value, label }))}
				onChange={setGrace}
			/>
			<div className="mt-4 flex justify-end gap-2">
				<Button onClick={onClose}>{p.common.cancel}</Button>
				<Button
					kind="danger"
					onClick={() => {
						onClose();
						void perform(go, KEYS);
					}}
				>
					{p.keys.rotate}
				</Button>
			</div>
		</Modal>
	);
};

const revoke = async (id: string): Promise<void> => {
	const revoked = await client.keys.revoke(id);
	queries.setQueryData<ApiKey[]>(KEYS, (had) => had?.map((one) => (one.id === id ? revoked : one)));
};

/** The gateway's first key has no name. */
const nameOf = ({ name, id }: ApiKey): string => (name === '' || name === id ? p.keys.first : name);

const hasEnded = ({ expiresAt }: ApiKey): boolean => expiresAt !== null && Date.parse(expiresAt) <= Date.now();

/** Dates and bounds of a key, in a line. */
const factsOf = (key: ApiKey): string =>
	[
		`${p.keys.made} ${ago(key.createdAt)}`,
		`${p.keys.lastUsed} ${key.lastUsedAt === null ? p.common.never : ago(key.lastUsedAt)}`,
		...(key.expiresAt === null ? [] : [`${hasEnded(key) ? p.keys.ended : p.keys.ends} ${dateOf(key.expiresAt)}`]),
		...(key.previousUntil === null || Date.parse(key.previousUntil) <= Date.now()
			? []
			: [`${p.keys.previous} ${dateOf(key.previousUntil)}`]),
		...(key.models === null ? [] : [key.models.join(', ')]),
		...(limitWords(key.limits) === '' ? [] : [`${p.keys.limitedTo} ${limitWords(key.limits)}`]),
	].join(' · ');

const KeyRow = ({ apiKey, onSecret }: { apiKey: ApiKey; onSecret: (key: string) => void }) => {
	const [doing, setDoing] = useState<'edit' | 'rotate'>();
	const me = useMe();
	const gone = apiKey.revokedAt !== null;
	const close = (): void => setDoing(undefined);
	return (
		<li
			data-key={apiKey.id}
			data-revoked={String(gone)}
			className="flex flex-wrap items-start gap-3 rounded-2xl border border-line bg-panel p-4 shadow-card"
		>
			<div className="min-w-56 flex-1">
				<p className="flex flex-wrap items-center gap-2 font-semibold">
					<span className="inline-block first-letter:uppercase">{nameOf(apiKey)}</span>
					{gone ? <Badge tone="bad">{p.keys.revoked}</Badge> : null}
					{me?.keyId === apiKey.id ? <Badge tone="good">{p.keys.yours}</Badge> : null}
				</p>
				<p className="my-1 flex flex-wrap gap-1">
					{apiKey.scopes.map((scope) => (
						<code key={scope} className="rounded bg-sunk px-1.5 text-xs leading-5">
							{scope}
						</code>
					))}
				</p>
				<p className="text-xs text-muted">{factsOf(apiKey)}</p>
			</div>
			{gone ? null : (
				<div className="flex flex-wrap gap-2">
					<GatedButton scope="keys:write" aria-label={`${p.keys.edit}: ${nameOf(apiKey)}`} onClick={() => setDoing('edit')}>
						{p.keys.edit}
					</GatedButton>
					<GatedButton scope="keys:write" aria-label={`${p.keys.rotate}: ${nameOf(apiKey)}`} onClick={() => setDoing('rotate')}>
						{p.keys.rotate}
					</GatedButton>
					<AskButton
						scope="keys:write"
						label={p.keys.revoke}
						name={nameOf(apiKey)}
						title={p.keys.revokeTitle}
						text={p.keys.revokeText}
						onYes={() => void perform(() => revoke(apiKey.id), KEYS)}
					/>
				</div>
			)}
			{doing === 'edit' ? (
				<KeyForm
					existing={apiKey}
					onClose={close}
					onSubmit={async (request) => {
						if (await perform(() => client.keys.update(apiKey.id, request), KEYS)) close();
					}}
				/>
			) : null}
			{doing === 'rotate' ? <Rotate apiKey={apiKey} onClose={close} onMade={onSecret} /> : null}
		</li>
	);
};

const Keys = () => {
	const query = useQuery({ queryKey: KEYS, queryFn: ({ signal }) => client.keys.list({ signal }) });
	const [adding, setAdding] = useState(false);
	const [revoked, setRevoked] = useState(false);
	const [secret, setSecret] = useState<string>();
	const keys = (query.data ?? []).filter(({ revokedAt }) => revoked || revokedAt === null);
	return (
		<>
			<div className="flex flex-wrap items-center gap-3">
				<p className="min-w-48 flex-1 text-sm text-muted">{p.keys.lead}</p>
				<Check label={p.keys.showRevoked} checked={revoked} onChange={setRevoked} />
				<GatedButton scope="keys:write" kind="primary" icon={<Plus size={16} aria-hidden />} onClick={() => setAdding(true)}>
					{p.keys.add}
				</GatedButton>
			</div>
			<Loaded query={query}>
				{keys.length === 0 ? <Empty>{p.keys.empty}</Empty> : null}
				<ul className="flex flex-col gap-3">
					{keys.map((key) => (
						<KeyRow key={key.id} apiKey={key} onSecret={setSecret} />
					))}
				</ul>
			</Loaded>
			{adding ? (
				<KeyForm
					onClose={() => setAdding(false)}
					onSubmit={(request) =>
						perform(async () => {
							const made = await client.keys.create(request);
							setAdding(false);
							setSecret(made.key);
						}, KEYS)
					}
				/>
			) : null}
			<SecretDialog secret={secret} title={p.keys.madeTitle} onClose={() => setSecret(undefined)} />
		</>
	);
};

/** Keys of programs. */
export const KeysPage = () => (useMay('keys:read') ? <Keys /> : <NoScope scope="keys:read" />);

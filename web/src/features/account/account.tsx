import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { client, session, switchWorkspace, type AccountSession } from '../../lib/session.ts';
import { useValue } from '../../lib/value.ts';
import { t } from '../../strings.ts';
import { Select } from '../../ui/field.tsx';
import { say, sayError } from '../../ui/toast.tsx';
import { Go, Input, messageOf, Problem, useSubmit } from '../signin/form.tsx';
import { JoinForm } from '../signin/no-workspace.tsx';
import { Sessions } from './sessions.tsx';

const MIN_PASSWORD_CHARS = 10;

/** What people call the workspaces, by id; empty until that is known. */
const useNames = (): ReadonlyMap<string, string> => {
	const { data } = useQuery({
		queryKey: ['workspaces', 'mine'],
		queryFn: ({ signal }) => client.workspaces.list({ limit: 200 }, { signal }),
	});
	return new Map((data?.data ?? []).map(({ id, name }) => [id, name ?? id]));
};

const Workspaces = ({ signedIn }: { signedIn: AccountSession }) => {
	const names = useNames();
	const options = signedIn.workspaces.map(({ workspaceId, role }) => ({
		value: workspaceId,
		label: `${names.get(workspaceId) ?? workspaceId} (${t.account.roles[role]})`,
	}));
	return (
		<Select
			label={t.account.workspace}
			value={signedIn.workspaceId ?? ''}
			options={options}
			onChange={(workspaceId) => void switchWorkspace(workspaceId).catch(sayError)}
		/>
	);
};

const ChangePassword = ({ email }: { email: string }) => {
	const [password, setPassword] = useState('');
	const [newPassword, setNewPassword] = useState('');
	const { busy, error, onSubmit } = useSubmit(async () => {
		await client.accounts.update({ password, newPassword });
		setPassword('');
		setNewPassword('');
		say(t.account.changed);
	}, messageOf);
	return (
		<form onSubmit={onSubmit} className="mt-3 flex flex-col gap-3">
			<input type="email" autoComplete="username" value={email} readOnly hidden />
			<Input label={t.account.present} type="password" autoComplete="current-password" value={password} onChange={setPassword} />
			<Input
				label={t.link.newPassword}
				type="password"
				autoComplete="new-password"
				minLength={MIN_PASSWORD_CHARS}
				value={newPassword}
				onChange={setNewPassword}
			/>
			<Problem text={error} />
			<Go busy={busy} disabled={password === '' || newPassword.length < MIN_PASSWORD_CHARS}>
				{t.account.change}
			</Go>
		</form>
	);
};

/** Who is signed in; for an account its workspaces and its password. */
export const AccountSection = () => {
	const signedIn = useValue(session);
	if (signedIn === undefined) return <p className="text-sm text-muted">{t.account.byKey}</p>;
	return (
		<section aria-label={t.account.accountTitle} className="flex flex-col gap-4 rounded-2xl border border-line bg-panel p-4">
			<p className="text-sm text-muted">{signedIn.account.email}</p>
			<Workspaces signedIn={signedIn} />
			<details>
				<summary className="text-sm font-medium">{t.account.invitation}</summary>
				<div className="mt-3">
					<JoinForm />
				</div>
			</details>
			<details>
				<summary className="text-sm font-medium">{t.account.sessions}</summary>
				<Sessions />
			</details>
			<details>
				<summary className="text-sm font-medium">{t.account.change}</summary>
				<ChangePassword email={signedIn.account.email} />
			</details>
		</section>
	);
};

import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { acceptInvitation, previewInvitation, resetPassword, session, signInByAccount } from '../../lib/session.ts';
import { useValue } from '../../lib/value.ts';
import { t } from '../../strings.ts';
import { Button } from '../../ui/button.tsx';
import { say } from '../../ui/toast.tsx';
import { Card, Choice, Go, Input, messageOf, Problem, useSubmit } from './form.tsx';
import { followed, type Link } from './link.ts';
import { MIN_PASSWORD_CHARS, NewAccount } from './new-account.tsx';
import { AccountForm } from './sign-in.tsx';

const putAside = (): void => followed.set(undefined);

const NotNow = () => (
	<Button kind="quiet" onClick={putAside}>
		{t.link.cancel}
	</Button>
);

const JoinAs = ({ code, email }: { code: string; email: string }) => {
	const { busy, error, onSubmit } = useSubmit(async () => {
		await acceptInvitation(code);
		putAside();
	}, messageOf);
	return (
		<form onSubmit={onSubmit} className="flex flex-col gap-4">
			<Problem text={error} />
			<Go busy={busy} disabled={false}>
				{t.link.joinAs} {email}
			</Go>
		</form>
	);
};

const join = async (code: string, email: string, password: string): Promise<void> => {
	await signInByAccount(email, password);
	await acceptInvitation(code);
	putAside();
};

const Invitation = ({ code }: { code: string }) => {
	const signedIn = useValue(session);
	const [isNew, setNew] = useState<'yes' | 'no'>('yes');
	const { data, error } = useQuery({ queryKey: ['invitation', code], queryFn: () => previewInvitation(code), retry: false });
	if (data === undefined) {
		return (
			<Card title={t.link.joinTitle}>
				{error === null ? <p className="text-muted">{t.link.checking}</p> : <Problem text={messageOf(error)} />}
				<NotNow />
			</Card>
		);
	}
	return (
		<Card title={`${t.link.joinTitle} ${data.workspaceName}`}>
			<p className="text-muted">
				{t.link.asRole} {t.link.roles[data.role]}.
			</p>
			{signedIn === undefined ? (
				<>
					<Choice
						label={t.link.joinTitle}
						value={isNew}
						options={[
							{ value: 'yes', label: t.link.isNew },
							{ value: 'no', label: t.link.isKnown },
						]}
						onChange={setNew}
					/>
					{isNew === 'yes' ? (
						<NewAccount code={code} email={data.email} onDone={putAside} />
					) : (
						<AccountForm action={t.link.join} onSignIn={(email, password) => join(code, email, password)} />
					)}
				</>
			) : (
				<JoinAs code={code} email={signedIn.account.email} />
			)}
			<NotNow />
		</Card>
	);
};

const Reset = ({ code }: { code: string }) => {
	const [password, setPassword] = useState('');
	const { busy, error, onSubmit } = useSubmit(async () => {
		await resetPassword(code, password);
		say(t.link.resetDone);
		putAside();
	}, messageOf);
	return (
		<Card title={t.link.resetTitle}>
			<p className="text-muted">{t.link.resetLead}</p>
			<form onSubmit={onSubmit} className="flex flex-col gap-4">
				<Input
					label={t.link.newPassword}
					type="password"
					autoComplete="new-password"
					minLength={MIN_PASSWORD_CHARS}
					value={password}
					onChange={setPassword}
				/>
				<Problem text={error} />
				<Go busy={busy} disabled={password.length < MIN_PASSWORD_CHARS}>
					{t.link.reset}
				</Go>
			</form>
			<NotNow />
		</Card>
	);
};

/** What an invitation or a reset link leads to. */
export const FollowLink = ({ link }: { link: Link }) =>
	link.kind === 'reset' ? <Reset code={link.code} /> : <Invitation code={link.code} />;

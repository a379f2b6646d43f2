import { useState } from 'react';
import { acceptInvitation, signOut } from '../../lib/session.ts';
import { t } from '../../strings.ts';
import { Button } from '../../ui/button.tsx';
import { Card, Go, Input, messageOf, Problem, useSubmit } from './form.tsx';
import { invitationCode } from './link.ts';

/** Joins a workspace with a pasted invitation. */
export const JoinForm = () => {
	const [text, setText] = useState('');
	const { busy, error, onSubmit } = useSubmit(async () => {
		const code = invitationCode(text);
		if (code === undefined) throw new Error(t.account.badInvitation);
		await acceptInvitation(code);
		setText('');
	}, messageOf);
	return (
		<form onSubmit={onSubmit} className="flex flex-col gap-3">
			<Input label={t.account.invitation} type="text" autoComplete="off" value={text} onChange={setText} wrong={error !== undefined} />
			<Problem text={error} />
			<Go busy={busy} disabled={text.trim() === ''}>
				{t.account.accept}
			</Go>
		</form>
	);
};

/** For an account that was removed from its workspace, or has not joined one. */
export const NoWorkspace = () => (
	<Card title={t.account.none}>
		<p className="text-muted">{t.account.noneLead}</p>
		<JoinForm />
		<Button kind="quiet" onClick={signOut}>
			{t.account.signOut}
		</Button>
	</Card>
);

import { useState } from 'react';
import { signUp } from '../../lib/session.ts';
import { t } from '../../strings.ts';
import { Go, Input, messageOf, Problem, useSubmit } from './form.tsx';

export const MIN_PASSWORD_CHARS = 10;

interface NewAccountProps {
	/** Of an invitation; without it the gateway decides whether it takes new accounts. */
	code?: string;
	email?: string | null;
	onDone?: () => void;
}

/** Makes an account and signs it in. */
export const NewAccount = ({ code, email: given = null, onDone }: NewAccountProps) => {
	const [email, setEmail] = useState(given ?? '');
	const [password, setPassword] = useState('');
	const { busy, error, onSubmit } = useSubmit(async () => {
		await signUp(email.trim(), password, code);
		onDone?.();
	}, messageOf);
	return (
		<form onSubmit={onSubmit} className="flex flex-col gap-4">
			<Input label={t.signIn.email} type="email" autoComplete="username" value={email} onChange={setEmail} />
			<Input
				label={t.link.newPassword}
				type="password"
				autoComplete="new-password"
				minLength={MIN_PASSWORD_CHARS}
				value={password}
				onChange={setPassword}
			/>
			<Problem text={error} />
			<Go busy={busy} disabled={email.trim() === '' || password.length < MIN_PASSWORD_CHARS}>
				{code === undefined ? t.signIn.make : t.link.join}
			</Go>
		</form>
	);
};

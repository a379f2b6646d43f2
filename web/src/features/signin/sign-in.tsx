import { ApiError } from '@limner/sdk';
import { useState } from 'react';
import { forgotPassword, signIn, signInByAccount } from '../../lib/session.ts';
import { createStored, useValue } from '../../lib/value.ts';
import { t } from '../../strings.ts';
import { NewAccount } from './new-account.tsx';
import { Card, Choice, Go, Input, messageOf, Problem, useSubmit } from './form.tsx';

type Way = 'key' | 'account';

/** The way that was taken last. */
const way = createStored<Way>('limner.signin', 'key');

const refused = (words: string) => (error: unknown) => (error instanceof ApiError && error.status === 401 ? words : messageOf(error));

const ByKey = () => {
	const [key, setKey] = useState('');
	const { busy, error, onSubmit } = useSubmit(() => signIn(key.trim()), refused(t.signIn.wrong));
	return (
		<form onSubmit={onSubmit} className="flex flex-col gap-4">
			<Input
				label={t.signIn.key}
				type="password"
				autoComplete="current-password"
				placeholder={t.signIn.placeholder}
				value={key}
				onChange={setKey}
				wrong={error !== undefined}
			/>
			<Problem text={error} />
			<Go busy={busy} disabled={key.trim() === ''}>
				{t.signIn.go}
			</Go>
			<p className="text-sm text-muted">{t.signIn.where}</p>
		</form>
	);
};

/** Has a link mailed that sets a new password; says who else can make one where the gateway sends no mail. */
const Forgotten = ({ email }: { email: string }) => {
	const [said, setSaid] = useState<string>();
	const ask = async (): Promise<void> => {
		if (email === '') return setSaid(t.signIn.forgottenNeeds);
		await forgotPassword(email);
		setSaid(t.signIn.forgottenSent);
	};
	return (
		<div className="flex flex-wrap items-center gap-x-2 text-sm text-muted">
			<span>{t.signIn.forgotten}</span>
			<button
				type="button"
				className="text-accent underline"
				onClick={() => void ask().catch((error: unknown) => setSaid(messageOf(error)))}
			>
				{t.signIn.forgottenGo}
			</button>
			{said === undefined ? null : (
				<p role="status" className="basis-full">
					{said}
				</p>
			)}
		</div>
	);
};

/** E-mail address and password of an account that exists. */
export const AccountForm = ({ onSignIn, action }: { onSignIn: (email: string, password: string) => Promise<void>; action: string }) => {
	const [email, setEmail] = useState('');
	const [password, setPassword] = useState('');
	const { busy, error, onSubmit } = useSubmit(() => onSignIn(email.trim(), password), refused(t.signIn.wrongAccount));
	return (
		<form onSubmit={onSubmit} className="flex flex-col gap-4">
			<Input label={t.signIn.email} type="email" autoComplete="username" value={email} onChange={setEmail} wrong={error !== undefined} />
			<Input
				label={t.signIn.password}
				type="password"
				autoComplete="current-password"
				value={password}
				onChange={setPassword}
				wrong={error !== undefined}
			/>
			<Problem text={error} />
			<Go busy={busy} disabled={email.trim() === '' || password === ''}>
				{action}
			</Go>
			<Forgotten email={email.trim()} />
		</form>
	);
};

const ByAccount = () => {
	const [isNew, setNew] = useState(false);
	return (
		<>
			{isNew ? <NewAccount /> : <AccountForm onSignIn={signInByAccount} action={t.signIn.go} />}
			<button type="button" className="self-start text-sm text-accent underline" onClick={() => setNew(!isNew)}>
				{isNew ? t.signIn.known : t.signIn.new}
			</button>
		</>
	);
};

/** Asks for an API key, or for an account's address and password. */
export const SignIn = () => {
	const chosen = useValue(way);
	return (
		<Card title={t.signIn.title}>
			<p className="text-muted">{t.signIn.lead}</p>
			<Choice
				label={t.signIn.how}
				value={chosen}
				options={[
					{ value: 'account', label: t.signIn.byAccount },
					{ value: 'key', label: t.signIn.byKey },
				]}
				onChange={way.set}
			/>
			{chosen === 'key' ? <ByKey /> : <ByAccount />}
		</Card>
	);
};

import { ApiError } from '@limner/sdk';
import { useState, type FormEvent } from 'react';
import { signIn } from '../../lib/session.ts';
import { t } from '../../strings.ts';
import { Button } from '../../ui/button.tsx';
import { Field, INPUT } from '../../ui/field.tsx';

const wordsFor = (error: unknown): string => {
	if (error instanceof ApiError && error.status === 401) return t.signIn.wrong;
	return error instanceof Error ? error.message : String(error);
};

/** Asks for an API key. */
export const SignIn = () => {
	const [key, setKey] = useState('');
	const [error, setError] = useState<string>();
	const [busy, setBusy] = useState(false);
	const submit = async (event: FormEvent): Promise<void> => {
		event.preventDefault();
		setBusy(true);
		setError(undefined);
		try {
			await signIn(key.trim());
		} catch (thrown) {
			setError(wordsFor(thrown));
		} finally {
			setBusy(false);
		}
	};
	return (
		<main className="flex min-h-full items-center justify-center p-6">
			<form
				onSubmit={(event) => void submit(event)}
				className="flex w-full max-w-md flex-col gap-4 rounded-2xl border border-line bg-panel p-8 shadow-card"
			>
				<h1 className="font-display text-3xl">{t.app}</h1>
				<p className="text-muted">{t.signIn.lead}</p>
				<Field label={t.signIn.key}>
					{(id) => (
						<input
							id={id}
							type="password"
							autoComplete="current-password"
							spellCheck={false}
							value={key}
							placeholder={t.signIn.placeholder}
							aria-invalid={error !== undefined}
							aria-describedby={`${id}-error`}
							onChange={(event) => setKey(event.target.value)}
							className={INPUT}
						/>
					)}
				</Field>
				{error === undefined ? null : (
					<p role="alert" className="text-sm text-bad">
						{error}
					</p>
				)}
				<Button kind="primary" type="submit" disabled={busy || key.trim() === ''}>
					{t.signIn.go}
				</Button>
				<p className="text-sm text-muted">{t.signIn.where}</p>
			</form>
		</main>
	);
};

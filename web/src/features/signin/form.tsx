/**
 * What the forms of signing in share.
 * @module
 */
import { useState, type FormEvent, type ReactNode } from 'react';
import { t } from '../../strings.ts';
import { Button } from '../../ui/button.tsx';
import { Field, INPUT } from '../../ui/field.tsx';

interface InputProps {
	label: string;
	type: 'email' | 'password' | 'text';
	value: string;
	onChange: (value: string) => void;
	autoComplete: string;
	placeholder?: string;
	minLength?: number;
	wrong?: boolean;
}

export const Input = ({ label, onChange, wrong = false, ...rest }: InputProps) => (
	<Field label={label}>
		{(id) => (
			<input
				id={id}
				{...rest}
				required
				spellCheck={false}
				aria-invalid={wrong}
				onChange={(event) => onChange(event.target.value)}
				className={INPUT}
			/>
		)}
	</Field>
);

interface Submitting {
	busy: boolean;
	error: string | undefined;
	onSubmit: (event: FormEvent) => void;
}

/** Runs `work` on submit, one at a time; what it throws is said in `words`. */
export const useSubmit = (work: () => Promise<void>, words: (error: unknown) => string): Submitting => {
	const [busy, setBusy] = useState(false);
	const [error, setError] = useState<string>();
	const run = async (): Promise<void> => {
		setBusy(true);
		setError(undefined);
		try {
			await work();
		} catch (thrown) {
			setError(words(thrown));
		} finally {
			setBusy(false);
		}
	};
	return {
		busy,
		error,
		onSubmit: (event) => {
			event.preventDefault();
			void run();
		},
	};
};

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export const Problem = ({ text }: { text: string | undefined }) =>
	text === undefined ? null : (
		<p role="alert" className="text-sm text-bad">
			{text}
		</p>
	);

export const Go = ({ busy, disabled, children }: { busy: boolean; disabled: boolean; children: ReactNode }) => (
	<Button kind="primary" type="submit" disabled={busy || disabled} className="min-h-11">
		{children}
	</Button>
);

/** A card in the middle of an otherwise empty page. */
export const Card = ({ title, children }: { title: string; children: ReactNode }) => (
	<main className="flex min-h-full items-center justify-center p-4 sm:p-6">
		<div className="flex w-full max-w-md flex-col gap-4 rounded-2xl border border-line bg-panel p-6 shadow-card sm:p-8">
			<p className="text-sm text-muted" aria-hidden>
				{t.app}
			</p>
			<h1 className="font-display text-3xl">{title}</h1>
			{children}
		</div>
	</main>
);

interface ChoiceProps<T extends string> {
	label: string;
	value: T;
	options: readonly { value: T; label: string }[];
	onChange: (value: T) => void;
}

/** Two or three ways, one of which is taken. */
export const Choice = <T extends string>({ label, value, options, onChange }: ChoiceProps<T>) => (
	<fieldset className="flex rounded-xl bg-sunk p-1">
		<legend className="sr-only">{label}</legend>
		{options.map((option) => (
			<label
				key={option.value}
				className="flex-1 cursor-pointer rounded-lg px-1 py-1.5 text-center whitespace-nowrap text-sm has-checked:bg-raised has-checked:font-semibold has-checked:shadow-card has-focus-visible:outline-2 has-focus-visible:outline-accent"
			>
				<input
					type="radio"
					name={label}
					value={option.value}
					checked={option.value === value}
					onChange={() => onChange(option.value)}
					className="sr-only"
				/>
				{option.label}
			</label>
		))}
	</fieldset>
);

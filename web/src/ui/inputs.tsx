import type { InputHTMLAttributes, ReactNode } from 'react';
import { Field, INPUT } from './field.tsx';

interface TextProps extends Omit<InputHTMLAttributes<HTMLInputElement>, 'onChange' | 'value'> {
	label: string;
	help?: string;
	value: string;
	onChange: (value: string) => void;
}

/** One line of text, or a number, date or address with `type`. */
export const TextInput = ({ label, help, value, onChange, className, ...rest }: TextProps) => (
	<Field label={label} {...(help === undefined ? {} : { help })} {...(className === undefined ? {} : { className })}>
		{(id) => <input {...rest} id={id} value={value} onChange={(event) => onChange(event.target.value)} className={INPUT} />}
	</Field>
);

/** A tick box with its label. */
export const Check = ({
	label,
	checked,
	onChange,
	disabled = false,
	title,
}: {
	label: ReactNode;
	checked: boolean;
	onChange: (checked: boolean) => void;
	disabled?: boolean;
	title?: string | undefined;
}) => (
	<label title={title} className={`flex min-h-7 items-center gap-2 text-sm ${disabled ? 'text-muted' : ''}`}>
		<input
			type="checkbox"
			checked={checked}
			disabled={disabled}
			onChange={(event) => onChange(event.target.checked)}
			className="size-4 accent-accent"
		/>
		{label}
	</label>
);

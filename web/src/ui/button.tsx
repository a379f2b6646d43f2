import { clsx } from 'clsx';
import type { ButtonHTMLAttributes, ReactNode } from 'react';
import { Tip } from './tip.tsx';

export type ButtonKind = 'primary' | 'plain' | 'quiet' | 'danger';

const KINDS: Record<ButtonKind, string> = {
	primary: 'bg-accent text-on-accent hover:bg-accent-strong border-transparent font-semibold',
	plain: 'bg-raised text-text border-line hover:border-muted',
	quiet: 'bg-transparent text-text border-transparent hover:bg-sunk',
	danger: 'bg-raised text-bad border-bad hover:bg-sunk',
};

export interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
	kind?: ButtonKind;
	icon?: ReactNode;
}

/** A button; `type` is `button` unless it is said otherwise, so that none submits a form by accident. */
export const Button = ({ kind = 'plain', icon, className, children, ...rest }: ButtonProps) => (
	<button
		type="button"
		{...rest}
		className={clsx(
			'inline-flex min-h-9 items-center justify-center gap-2 rounded-lg border px-3 py-1.5 text-sm transition-colors disabled:opacity-55 aria-disabled:cursor-not-allowed aria-disabled:opacity-55',
			KINDS[kind],
			className,
		)}
	>
		{icon}
		{children}
	</button>
);

/** A button of one icon; its label is read out and shown as a tip. */
export const IconButton = ({
	label,
	pressed,
	className,
	children,
	...rest
}: Omit<ButtonProps, 'icon'> & { label: string; pressed?: boolean }) => (
	<Tip text={label}>
		<button
			type="button"
			aria-label={label}
			{...(pressed === undefined ? {} : { 'aria-pressed': pressed })}
			{...rest}
			className={clsx(
				'inline-flex size-9 shrink-0 items-center justify-center rounded-lg border transition-colors disabled:opacity-45',
				pressed === true ? 'border-accent bg-accent text-on-accent' : 'border-transparent text-text hover:bg-sunk',
				className,
			)}
		>
			{children}
		</button>
	</Tip>
);

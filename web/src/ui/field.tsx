import { clsx } from 'clsx';
import { CircleHelp } from 'lucide-react';
import { useId, type ReactNode } from 'react';
import { Tip } from './tip.tsx';

export const INPUT =
	'w-full min-h-9 rounded-lg border border-line bg-raised px-2.5 py-1.5 text-text placeholder:text-muted focus:border-accent focus:outline-2 focus:outline-offset-0 focus:outline-accent';

interface FieldProps {
	label: string;
	help?: string;
	/** The value in words, at the right of the label. */
	value?: ReactNode;
	className?: string;
	children: (id: string) => ReactNode;
}

/** A label, an explanation behind a question mark, and a control that is given the label's id. */
export const Field = ({ label, help, value, className, children }: FieldProps) => {
	const id = useId();
	return (
		<div className={clsx('flex flex-col gap-1', className)}>
			<div className="flex items-center gap-1.5 text-sm">
				<label htmlFor={id} className="font-medium">
					{label}
				</label>
				{help === undefined ? null : (
					<Tip text={help}>
						<button type="button" aria-label={`${label}: ${help}`} className="text-muted">
							<CircleHelp size={14} />
						</button>
					</Tip>
				)}
				<span className="ml-auto whitespace-nowrap text-muted tabular-nums">{value}</span>
			</div>
			{children(id)}
		</div>
	);
};

interface RangeProps {
	label: string;
	help?: string;
	value: number;
	min: number;
	max: number;
	step?: number;
	onChange: (value: number) => void;
	show?: (value: number) => string;
}

/** A slider with its value. */
export const Range = ({ label, help, value, min, max, step = 1, onChange, show = String }: RangeProps) => (
	<Field label={label} {...(help === undefined ? {} : { help })} value={show(value)}>
		{(id) => (
			<input
				id={id}
				type="range"
				min={min}
				max={max}
				step={step}
				value={value}
				onChange={(event) => onChange(event.target.valueAsNumber)}
				className="h-6 w-full accent-accent"
			/>
		)}
	</Field>
);

interface SelectProps {
	label: string;
	help?: string;
	value: string;
	options: readonly { value: string; label: string }[];
	onChange: (value: string) => void;
}

/** The browser's own list: it works with every keyboard, screen reader and phone. */
export const Select = ({ label, help, value, options, onChange }: SelectProps) => (
	<Field label={label} {...(help === undefined ? {} : { help })}>
		{(id) => (
			<select id={id} value={value} onChange={(event) => onChange(event.target.value)} className={INPUT}>
				{options.map((option) => (
					<option key={option.value} value={option.value}>
						{option.label}
					</option>
				))}
			</select>
		)}
	</Field>
);

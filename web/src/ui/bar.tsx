import { clsx } from 'clsx';

/** A progress bar from 0 to 1. */
export const Bar = ({ value, label, className }: { value: number; label: string; className?: string }) => (
	<div
		role="progressbar"
		aria-label={label}
		aria-valuemin={0}
		aria-valuemax={100}
		aria-valuenow={Math.round(value * 100)}
		className={clsx('h-1.5 overflow-hidden rounded-full bg-sunk', className)}
	>
		<div className="h-full rounded-full bg-accent transition-[width] duration-300" style={{ width: `${Math.round(value * 100)}%` }} />
	</div>
);

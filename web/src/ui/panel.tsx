/**
 * What most pages are made of: a headed box, an empty place, a failure in words, a badge, a number.
 * @module
 */
import { ApiError } from '@limner/sdk';
import { clsx } from 'clsx';
import { useId, type ReactNode } from 'react';
import { p } from '../strings/pool.ts';
import { Button } from './button.tsx';

/** A box with a heading; `actions` stand at its right. */
export const Panel = ({
	title,
	lead,
	actions,
	children,
	className,
}: {
	title: string;
	lead?: ReactNode;
	actions?: ReactNode;
	children: ReactNode;
	className?: string;
}) => {
	const id = useId();
	return (
		<section aria-labelledby={id} className={clsx('min-w-0 rounded-2xl border border-line bg-panel p-4 shadow-card', className)}>
			<div className="mb-3 flex flex-wrap items-center gap-2">
				<div className="min-w-0 flex-1">
					<h2 id={id} className="font-display text-lg">
						{title}
					</h2>
					{lead === undefined ? null : <p className="text-sm text-muted">{lead}</p>}
				</div>
				{actions}
			</div>
			{children}
		</section>
	);
};

export const Empty = ({ children }: { children: ReactNode }) => (
	<p className="rounded-xl border border-dashed border-line px-4 py-6 text-center text-muted">{children}</p>
);

export type BadgeTone = 'good' | 'warn' | 'bad' | 'muted';
const TONES: Record<BadgeTone, string> = {
	good: 'border-good text-good',
	warn: 'border-warn text-warn',
	bad: 'border-bad text-bad',
	muted: 'border-line text-muted',
};

export const Badge = ({ tone = 'muted', children }: { tone?: BadgeTone; children: ReactNode }) => (
	<span className={clsx('inline-block rounded-full border px-2 py-0.5 text-xs whitespace-nowrap', TONES[tone])}>{children}</span>
);

/** Why a call failed, in words; a missing scope by its name. */
const wordsOf = (error: Error): string => {
	if (error instanceof ApiError && error.status === 403) return error.message;
	return `${p.common.failed} ${error.message}`;
};

interface QueryLike {
	isPending: boolean;
	error: Error | null;
	data: unknown;
	refetch: () => Promise<unknown>;
}

/** What a query has to say before it has data, or when it failed; `children` once there is something to show. */
export const Loaded = ({ query, children }: { query: QueryLike; children: ReactNode }) => {
	if (query.data !== undefined) return children;
	if (query.error !== null) {
		return (
			<div role="alert" className="flex flex-wrap items-center gap-3 rounded-xl border border-bad px-4 py-3 text-sm text-bad">
				<span className="flex-1">{wordsOf(query.error)}</span>
				<Button onClick={() => void query.refetch()}>{p.common.again}</Button>
			</div>
		);
	}
	return (
		<p role="status" className="px-1 py-6 text-center text-muted">
			{p.common.loading}
		</p>
	);
};

/** A page for somebody who may not see it. */
export const NoScope = ({ scope }: { scope: string }) => (
	<Empty>
		{p.common.noScope} <code>{scope}</code>.
	</Empty>
);

/** A number with what it means. */
export const Figure = ({ value, label, help }: { value: ReactNode; label: string; help?: string }) => (
	<div className="min-w-0 rounded-xl border border-line bg-raised p-3">
		<div className="text-sm font-medium">{label}</div>
		<div className="font-display text-2xl tabular-nums">{value}</div>
		{help === undefined ? null : <div className="text-xs text-muted">{help}</div>}
	</div>
);

/** Name and value pairs. */
export const Facts = ({ items }: { items: readonly (readonly [string, ReactNode])[] }) => (
	<dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1 text-sm">
		{items.map(([name, value]) => (
			<div key={name} className="contents">
				<dt className="text-muted">{name}</dt>
				<dd className="min-w-0 break-words">{value}</dd>
			</div>
		))}
	</dl>
);

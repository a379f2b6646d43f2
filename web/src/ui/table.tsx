import type { ReactNode } from 'react';

/** A table that scrolls by itself on a narrow screen. */
export const Table = ({ label, head, children }: { label: string; head: readonly ReactNode[]; children: ReactNode }) => (
	// Focusable, so that the keyboard can scroll it.
	// oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
	<div tabIndex={0} role="region" aria-label={label} className="-mx-1 overflow-x-auto px-1">
		<table className="w-full border-collapse text-left text-sm">
			<thead>
				<tr className="border-b border-line text-muted">
					{head.map((cell, i) => (
						// The heads of a table never change places.
						// oxlint-disable-next-line react/no-array-index-key
						<th key={i} scope="col" className="px-2 py-1.5 font-medium whitespace-nowrap first-letter:uppercase">
							{cell}
						</th>
					))}
				</tr>
			</thead>
			<tbody>{children}</tbody>
		</table>
	</div>
);

export const Row = ({ children, ...rest }: { children: ReactNode } & Record<`data-${string}`, string | undefined>) => (
	<tr {...rest} className="border-b border-line/60 align-top last:border-0">
		{children}
	</tr>
);
export const Cell = ({ children, wide = false }: { children?: ReactNode; wide?: boolean }) => (
	<td className={`px-2 py-2 ${wide ? 'min-w-40' : 'whitespace-nowrap'} tabular-nums`}>{children}</td>
);

import { Children, cloneElement, createContext, isValidElement, use, type ReactElement, type ReactNode } from 'react';

/** Headings of the table, for rows that stand alone on a phone. */
const Heads = createContext<readonly ReactNode[]>([]);

/** A table that scrolls by itself where it does not fit; on a phone each row is a block of names and values. */
export const Table = ({ label, head, children }: { label: string; head: readonly ReactNode[]; children: ReactNode }) => (
	<Heads value={head}>
		{/* Focusable, so that the keyboard can scroll it. */}
		{/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
		<div tabIndex={0} role="region" aria-label={label} className="-mx-1 overflow-x-auto px-1">
			<table className="w-full border-collapse text-left text-sm max-sm:block">
				<thead className="max-sm:sr-only">
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
				<tbody className="max-sm:block">{children}</tbody>
			</table>
		</div>
	</Heads>
);

interface CellProps {
	children?: ReactNode;
	wide?: boolean;
	/** Given by the row: the heading above it. */
	head?: ReactNode;
}

export const Row = ({ children, ...rest }: { children: ReactNode } & Record<`data-${string}`, string | undefined>) => {
	const heads = use(Heads);
	return (
		<tr {...rest} className="border-b border-line/60 align-middle last:border-0 max-sm:block max-sm:py-2">
			{Children.toArray(children).map((cell, i) =>
				isValidElement(cell) ? cloneElement(cell as ReactElement<CellProps>, { head: heads[i] }) : cell,
			)}
		</tr>
	);
};

const isEmpty = (children: ReactNode): boolean => children === undefined || children === null || children === '' || children === false;

export const Cell = ({ children, wide = false, head }: CellProps) => (
	<td
		className={`px-2 py-2 tabular-nums max-sm:gap-3 max-sm:py-1 ${isEmpty(children) ? 'max-sm:hidden' : 'max-sm:flex'} ${wide ? 'min-w-40' : 'sm:whitespace-nowrap'}`}
	>
		<span aria-hidden className="w-28 shrink-0 text-muted first-letter:uppercase sm:hidden">
			{head}
		</span>
		<div className="min-w-0 break-words max-sm:flex-1">{children}</div>
	</td>
);

import type { GalleryImage } from '@limner/sdk';
import { useVirtualizer } from '@tanstack/react-virtual';
import { Check, Star } from 'lucide-react';
import { memo, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { useValue } from '../../lib/value.ts';
import { stars } from './actions.ts';
import { DAY_PX, GAP_PX, layout, toRows } from './rows.ts';

interface TileProps {
	image: GalleryImage;
	selected: boolean | undefined;
	starred: boolean;
	onOpen: (id: string, range: boolean) => void;
}

const Tile = memo(({ image, selected, starred, onOpen }: TileProps) => (
	<button
		type="button"
		onClick={(event) => onOpen(image.id, event.shiftKey)}
		aria-label={image.prompt}
		data-image={image.id}
		{...(selected === undefined ? {} : { 'aria-pressed': selected })}
		className={`relative block aspect-square w-full overflow-hidden rounded-xl border ${selected === true ? 'border-accent ring-2 ring-accent' : 'border-line'}`}
	>
		<img
			src={image.url}
			alt=""
			loading="lazy"
			decoding="async"
			width={image.width}
			height={image.height}
			className="size-full object-cover"
		/>
		{starred ? <Star size={16} fill="currentColor" aria-hidden className="absolute top-2 right-2 text-amber-300 drop-shadow" /> : null}
		{selected === true ? (
			<Check size={20} aria-hidden className="absolute top-2 left-2 rounded-full bg-accent p-0.5 text-on-accent" />
		) : null}
	</button>
));
Tile.displayName = 'Tile';

interface Props {
	images: readonly GalleryImage[];
	/** Present while pictures are being selected. */
	selected: ReadonlySet<string> | undefined;
	onOpen: (id: string, range: boolean) => void;
	/** The end is near: more can be loaded. */
	onEnd: () => void;
}

const NEAR_END_ROWS = 4;

/** Squares below the days on which they were made; only what is on the screen is in the page. */
export const Grid = ({ images, selected, onOpen, onEnd }: Props) => {
	const scroller = useRef<HTMLDivElement>(null);
	const [width, setWidth] = useState(0);
	useLayoutEffect(() => {
		const element = scroller.current;
		if (element === null) return undefined;
		const watch = new ResizeObserver(([entry]) => setWidth(entry?.contentRect.width ?? 0));
		watch.observe(element);
		return () => watch.disconnect();
	}, []);
	const starred = useValue(stars);
	const kept = useMemo(() => new Set(starred), [starred]);
	const { columns, rowHeight } = layout(width);
	const rows = useMemo(() => toRows(images, columns), [images, columns]);
	const virtual = useVirtualizer({
		count: rows.length,
		getScrollElement: () => scroller.current,
		estimateSize: (i) => (rows[i]?.kind === 'day' ? DAY_PX : rowHeight),
		overscan: 3,
	});
	useEffect(() => virtual.measure(), [virtual, rowHeight]);
	const shown = virtual.getVirtualItems();
	const last = shown.at(-1)?.index ?? 0;
	useEffect(() => {
		if (last >= rows.length - NEAR_END_ROWS) onEnd();
	}, [last, rows.length, onEnd]);
	return (
		<div ref={scroller} data-testid="grid" className="min-h-0 flex-1 overflow-y-auto">
			<div className="relative w-full" style={{ height: virtual.getTotalSize() }}>
				{shown.map(({ key, index, start }) => {
					const row = rows[index];
					return row === undefined ? null : (
						<div key={key} className="absolute inset-x-0 top-0" style={{ transform: `translateY(${start}px)` }}>
							{row.kind === 'day' ? (
								<h2 className="flex items-end pb-1 font-display text-lg" style={{ height: DAY_PX }}>
									{row.label}
								</h2>
							) : (
								<div className="grid" style={{ gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`, gap: GAP_PX }}>
									{row.images.map((image) => (
										<Tile key={image.id} image={image} selected={selected?.has(image.id)} starred={kept.has(image.id)} onOpen={onOpen} />
									))}
								</div>
							)}
						</div>
					);
				})}
			</div>
		</div>
	);
};

import type { GalleryImage } from '@limner/sdk';
import { CheckSquare, Columns2, Download, Search, Star, Trash2 } from 'lucide-react';
import { useDeferredValue, useEffect, useMemo, useState } from 'react';
import { useImages } from '../../lib/queries.ts';
import { useValue } from '../../lib/value.ts';
import { t } from '../../strings.ts';
import { Button, IconButton } from '../../ui/button.tsx';
import { Confirm, Modal } from '../../ui/dialog.tsx';
import { INPUT } from '../../ui/field.tsx';
import { sayError } from '../../ui/toast.tsx';
import { Compare } from '../edit/compare.tsx';
import { isOpen } from '../jobs/entry.ts';
import { useEntries } from '../jobs/store.ts';
import { JobTile } from '../jobs/tile.tsx';
import { download, remove, stars } from './actions.ts';
import { Grid } from './grid.tsx';
import { usePictures } from './pictures.tsx';
import { differences, matches, select } from './rows.ts';

interface Selection {
	on: boolean;
	ids: ReadonlySet<string>;
	last?: string;
}

const NONE: Selection = { on: false, ids: new Set() };

const SelectionBar = ({ chosen, onDone }: { chosen: readonly GalleryImage[]; onDone: () => void }) => {
	const [asking, setAsking] = useState(false);
	const [comparing, setComparing] = useState(false);
	const [one, two] = chosen;
	return (
		<div className="flex flex-wrap items-center gap-2">
			<span className="text-sm text-muted" aria-live="polite">
				{chosen.length} {t.gallery.selected}
			</span>
			<Button icon={<Columns2 size={16} />} disabled={chosen.length !== 2} title={t.gallery.compareHint} onClick={() => setComparing(true)}>
				{t.gallery.compare}
			</Button>
			<Button icon={<Download size={16} />} disabled={chosen.length === 0} onClick={() => void download(chosen).catch(sayError)}>
				{t.gallery.zip}
			</Button>
			<Button kind="danger" icon={<Trash2 size={16} />} disabled={chosen.length === 0} onClick={() => setAsking(true)}>
				{t.gallery.delete}
			</Button>
			{one === undefined || two === undefined ? null : (
				<Modal open={comparing} onOpenChange={setComparing} title={t.gallery.compare} lead={differences(one, two).join(' · ')}>
					<Compare before={one.url} after={two.url} width={one.width} height={one.height} />
				</Modal>
			)}
			<Confirm
				open={asking}
				onOpenChange={setAsking}
				title={t.gallery.deleteTitle}
				lead={t.gallery.deleteText}
				yes={t.gallery.delete}
				no={t.gallery.keep}
				onYes={() => void remove(chosen).then(onDone).catch(sayError)}
			/>
		</div>
	);
};

/** A grid or a script may have hundreds of jobs open. */
const MAX_PENDING = 12;

/** Pictures still in the making, in front of the others. */
const Pending = () => {
	const open = useEntries().filter(isOpen);
	return open.length === 0 ? null : (
		<div className="mb-4 max-h-[45%] shrink-0 overflow-y-auto">
			<div className="grid grid-cols-2 gap-3 sm:grid-cols-4 lg:grid-cols-6">
				{open.slice(0, MAX_PENDING).map((entry) => (
					<JobTile key={entry.key} entry={entry} />
				))}
			</div>
			{open.length > MAX_PENDING ? (
				<p className="mt-2 text-sm text-muted">
					{open.length - MAX_PENDING} {t.gallery.morePending}
				</p>
			) : null}
		</div>
	);
};

const useShown = () => {
	const query = useImages();
	const [search, setSearch] = useState('');
	const [onlyStarred, setOnlyStarred] = useState(false);
	const starred = useValue(stars);
	const wanted = useDeferredValue(search.trim());
	const all = useMemo(() => query.data?.pages.flatMap(({ data }) => data) ?? [], [query.data]);
	const images = useMemo(() => {
		const kept = new Set(starred);
		return all.filter((image) => (wanted === '' || matches(image, wanted)) && (!onlyStarred || kept.has(image.id)));
	}, [all, wanted, onlyStarred, starred]);
	const filtered = wanted !== '' || onlyStarred;
	const { hasNextPage, isFetchingNextPage, isError, fetchNextPage } = query;
	// What is looked for may be on a page that nobody has scrolled to.
	useEffect(() => {
		if (filtered && hasNextPage && !isFetchingNextPage && !isError) void fetchNextPage();
	}, [filtered, hasNextPage, isFetchingNextPage, isError, fetchNextPage, all.length]);
	return { query, images, loaded: all.length, search, setSearch, onlyStarred, setOnlyStarred, filtered };
};

/** All pictures of the workspace. */
export const GalleryPage = () => {
	const { query, images, loaded, search, setSearch, onlyStarred, setOnlyStarred, filtered } = useShown();
	const [selection, setSelection] = useState<Selection>(NONE);
	const more = (): void => {
		if (query.hasNextPage && !query.isFetchingNextPage) void query.fetchNextPage();
	};
	const pictures = usePictures(images, more);
	const open = (id: string, range: boolean): void => {
		if (!selection.on) return pictures.open(id);
		const ids = images.map((one) => one.id);
		setSelection((had) => ({ on: true, ids: select(ids, had.ids, id, had.last, range), last: id }));
	};
	return (
		<div className="flex h-full flex-col gap-3 p-4 sm:p-6">
			<div className="flex flex-wrap items-center gap-3">
				<h1 className="font-display text-2xl max-sm:flex-1">{t.gallery.title}</h1>
				<div className="relative min-w-40 flex-1 max-sm:order-last max-sm:basis-full">
					<Search size={16} aria-hidden className="absolute top-1/2 left-3 -translate-y-1/2 text-muted" />
					<input
						type="search"
						aria-label={t.gallery.search}
						placeholder={t.gallery.search}
						value={search}
						onChange={(event) => setSearch(event.target.value)}
						className={`${INPUT} pl-9`}
					/>
				</div>
				<IconButton label={t.gallery.onlyStarred} pressed={onlyStarred} onClick={() => setOnlyStarred(!onlyStarred)}>
					<Star size={18} />
				</IconButton>
				<IconButton
					label={t.gallery.select}
					pressed={selection.on}
					onClick={() => setSelection(selection.on ? NONE : { on: true, ids: new Set() })}
				>
					<CheckSquare size={18} />
				</IconButton>
				{selection.on ? <SelectionBar chosen={images.filter(({ id }) => selection.ids.has(id))} onDone={() => setSelection(NONE)} /> : null}
			</div>
			<Pending />
			{filtered && query.hasNextPage ? (
				<p role="status" className="text-sm text-muted">
					{t.gallery.searching} {loaded.toLocaleString()} {t.gallery.searched}
				</p>
			) : null}
			{images.length === 0 && query.isSuccess && !(filtered && query.hasNextPage) ? (
				<p className="p-10 text-center text-muted">{filtered ? t.gallery.emptySearch : t.gallery.empty}</p>
			) : (
				<Grid images={images} selected={selection.on ? selection.ids : undefined} onOpen={open} onEnd={more} />
			)}
			{query.isFetchingNextPage && !filtered ? <p className="text-center text-sm text-muted">{t.gallery.loadingMore}</p> : null}
			{pictures.lightbox}
		</div>
	);
};

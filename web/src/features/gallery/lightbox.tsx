import type { GalleryImage } from '@limner/sdk';
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { ChevronLeft, ChevronRight, Flag, Star, X } from 'lucide-react';
import { Dialog } from 'radix-ui';
import { useEffect, useState } from 'react';
import { bytes } from '../../lib/format.ts';
import { useNodeName, useSchedulers } from '../../lib/queries.ts';
import { client } from '../../lib/session.ts';
import { useValue } from '../../lib/value.ts';
import { t } from '../../strings.ts';
import { Button, IconButton } from '../../ui/button.tsx';
import { focusItself } from '../../ui/dialog.tsx';
import { say, sayError } from '../../ui/toast.tsx';
import { draft, recall, type Recall } from '../create/draft.ts';
import { fromGallery } from '../edit/source.ts';
import { ReportDialog } from '../reports/form.tsx';
import { asCode, download, stars, toggleStar } from './actions.ts';

interface Props {
	image: GalleryImage;
	onClose: () => void;
	/** Absent at the ends. */
	onPrevious: (() => void) | undefined;
	onNext: (() => void) | undefined;
}

const useArrows = ({ onPrevious, onNext }: Props): void => {
	useEffect(() => {
		const key = (event: globalThis.KeyboardEvent): void => {
			// In a field of a dialog over it arrows move the cursor.
			if (event.target instanceof HTMLElement && event.target.matches('input, select, textarea')) return;
			if (event.key === 'ArrowLeft') onPrevious?.();
			if (event.key === 'ArrowRight') onNext?.();
		};
		addEventListener('keydown', key);
		return () => removeEventListener('keydown', key);
	}, [onPrevious, onNext]);
};

const Facts = ({ image }: { image: GalleryImage }) => {
	const { data } = useQuery({
		queryKey: ['metadata', image.id],
		queryFn: ({ signal }) => client.gallery.get(image.id, { signal }),
		staleTime: 60_000,
	});
	const { data: schedulers = [] } = useSchedulers();
	const node = useNodeName(image.nodeId);
	const request = data?.request;
	const facts: [string, string | undefined][] = [
		[t.create.model, image.model],
		[t.create.size, `${image.width} × ${image.height}`],
		[t.create.seed, String(image.seed)],
		[t.create.steps, request?.steps.toString()],
		[t.create.guidance, request?.guidance.toString()],
		[t.create.scheduler, schedulers.find(({ name }) => name === request?.scheduler)?.label ?? request?.scheduler],
		[t.edit.strength, request?.strength?.toFixed(2)],
		[t.create.negative, request?.negativePrompt ?? undefined],
		[t.gallery.machine, node],
		[t.gallery.file, bytes(image.bytes)],
		[t.gallery.made, new Date(image.createdAt).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' })],
	];
	return (
		<dl aria-label={t.gallery.details} className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1 text-sm">
			{facts.map(([name, value]) =>
				value === undefined || value === '' ? null : (
					<div key={name} className="contents">
						<dt className="text-muted">{name}</dt>
						<dd className="break-words">{value}</dd>
					</div>
				),
			)}
		</dl>
	);
};

const RECALLS: readonly Recall[] = ['all', 'prompt', 'seed', 'remix'];

const Actions = ({ image, onClose }: { image: GalleryImage; onClose: () => void }) => {
	const navigate = useNavigate();
	const starred = useValue(stars).includes(image.id);
	const [reporting, setReporting] = useState(false);
	const take = async (what: Recall): Promise<void> => {
		const known = what === 'prompt' || what === 'seed' ? image : await client.gallery.get(image.id);
		draft.set(recall(draft.get(), known, what));
		onClose();
		await navigate({ to: '/' });
	};
	const copy = async (how: 'curl' | 'sdk' | 'mcp'): Promise<void> => {
		await navigator.clipboard.writeText(asCode(await client.gallery.get(image.id), how, location.origin));
		say(t.gallery.copy.done);
	};
	return (
		<div className="flex flex-wrap gap-2">
			{RECALLS.map((what) => (
				<Button key={what} onClick={() => void take(what).catch(sayError)}>
					{t.gallery.recall[what]}
				</Button>
			))}
			<Button
				onClick={() => {
					fromGallery(image);
					onClose();
					void navigate({ to: '/edit' });
				}}
			>
				{t.gallery.source}
			</Button>
			<Button onClick={() => void download([image]).catch(sayError)}>{t.gallery.download}</Button>
			<Button icon={<Star size={16} fill={starred ? 'currentColor' : 'none'} />} onClick={() => toggleStar(image.id)}>
				{starred ? t.gallery.unstar : t.gallery.star}
			</Button>
			{(['curl', 'sdk', 'mcp'] as const).map((how) => (
				<Button key={how} kind="quiet" onClick={() => void copy(how).catch(sayError)}>
					{t.gallery.copy[how]}
				</Button>
			))}
			<Button kind="quiet" icon={<Flag size={16} aria-hidden />} onClick={() => setReporting(true)}>
				{t.gallery.report}
			</Button>
			{reporting ? <ReportDialog imageId={image.id} onClose={() => setReporting(false)} /> : null}
		</div>
	);
};

/** One picture, large, with everything that is known of it and what can be done with it. */
export const Lightbox = (props: Props) => {
	const { image, onClose, onPrevious, onNext } = props;
	useArrows(props);
	return (
		<Dialog.Root open onOpenChange={(open) => (open ? undefined : onClose())}>
			<Dialog.Portal>
				<Dialog.Overlay className="fixed inset-0 z-40 bg-black/70" />
				<Dialog.Content
					aria-describedby={undefined}
					onOpenAutoFocus={focusItself}
					className="fixed inset-0 z-40 flex flex-col overflow-y-auto bg-panel focus:outline-none lg:inset-6 lg:flex-row lg:overflow-hidden lg:rounded-2xl"
				>
					<div className="checkered relative flex min-h-[45dvh] flex-1 items-center justify-center p-4">
						<img
							key={image.id}
							src={image.url}
							alt={image.prompt}
							className="max-h-full max-w-full rounded-lg object-contain"
							style={{ minWidth: 'min(70%, 32rem)' }}
						/>
						<Dialog.Close asChild>
							<IconButton label={t.gallery.close} className="!absolute top-2 right-2 bg-panel">
								<X size={18} />
							</IconButton>
						</Dialog.Close>
						<div className="absolute inset-x-2 top-1/2 flex -translate-y-1/2 justify-between">
							<IconButton label={t.gallery.previous} disabled={onPrevious === undefined} onClick={onPrevious} className="bg-panel">
								<ChevronLeft size={20} />
							</IconButton>
							<IconButton label={t.gallery.next} disabled={onNext === undefined} onClick={onNext} className="bg-panel">
								<ChevronRight size={20} />
							</IconButton>
						</div>
					</div>
					<div className="flex w-full flex-col gap-4 p-5 lg:w-96 lg:overflow-y-auto">
						<Dialog.Title className="font-display text-lg break-words">{image.prompt}</Dialog.Title>
						<Facts image={image} />
						<Actions image={image} onClose={onClose} />
					</div>
				</Dialog.Content>
			</Dialog.Portal>
		</Dialog.Root>
	);
};

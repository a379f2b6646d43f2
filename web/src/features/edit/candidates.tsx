import type { JobImage } from '@limner/sdk';
import { Check, Columns2 } from 'lucide-react';
import { useState } from 'react';
import { t } from '../../strings.ts';
import { Button, IconButton } from '../../ui/button.tsx';
import { Modal } from '../../ui/dialog.tsx';
import type { Entry } from '../jobs/entry.ts';
import { JobTile } from '../jobs/tile.tsx';
import { Compare } from './compare.tsx';
import { fromGallery, type Source } from './source.ts';

const Candidate = ({ entry, image, source }: { entry: Entry; image: JobImage; source: Source }) => {
	const [comparing, setComparing] = useState(false);
	return (
		<li className="flex w-48 shrink-0 flex-col gap-2">
			<img src={image.url} alt={entry.request.prompt} data-testid="candidate" className="w-full rounded-xl border border-line" />
			<div className="flex gap-1">
				<Button
					className="flex-1"
					icon={<Check size={16} />}
					onClick={() => fromGallery({ ...image, prompt: entry.request.prompt, jobId: entry.key })}
				>
					{t.edit.accept}
				</Button>
				<IconButton label={t.edit.compare} onClick={() => setComparing(true)}>
					<Columns2 size={18} />
				</IconButton>
			</div>
			<Modal open={comparing} onOpenChange={setComparing} title={t.edit.compare} lead={entry.request.prompt}>
				<Compare before={source.url} after={image.url} width={image.width} height={image.height} />
			</Modal>
		</li>
	);
};

/** Results of the edits of this picture, the newest first. */
export const Candidates = ({ entries, source }: { entries: readonly Entry[]; source: Source }) =>
	entries.length === 0 ? null : (
		<section aria-label={t.edit.candidates} className="flex flex-col gap-2">
			<h2 className="font-display text-lg">{t.edit.candidates}</h2>
			<ul className="flex gap-4 overflow-x-auto pb-2">
				{entries.map((entry) =>
					entry.status === 'succeeded' ? (
						entry.images.map((image) => <Candidate key={image.id} entry={entry} image={image} source={source} />)
					) : (
						<li key={entry.key} className="w-48 shrink-0">
							<JobTile entry={entry} />
						</li>
					),
				)}
			</ul>
		</section>
	);

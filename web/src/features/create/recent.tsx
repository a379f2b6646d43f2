import type { GalleryImage } from '@limner/sdk';
import { Link } from '@tanstack/react-router';
import { useImages } from '../../lib/queries.ts';
import { t } from '../../strings.ts';

const SHOWN = 12;

/** The latest pictures, a few. */
export const useRecent = (): { images: readonly GalleryImage[]; isSuccess: boolean } => {
	const { data, isSuccess } = useImages();
	return { images: data?.pages[0]?.data.slice(0, SHOWN) ?? [], isSuccess };
};

/** The latest pictures, small; a click opens one. */
export const Recent = ({ images, onOpen }: { images: readonly GalleryImage[]; onOpen: (id: string) => void }) =>
	images.length === 0 ? null : (
		<section aria-label={t.create.recent}>
			<div className="mb-2 flex items-baseline justify-between text-sm">
				<h2 className="font-medium text-muted">{t.create.recent}</h2>
				<Link to="/gallery" className="text-accent underline">
					{t.create.all}
				</Link>
			</div>
			<ul className="grid grid-cols-4 gap-2 sm:grid-cols-6 xl:grid-cols-8">
				{images.map((image) => (
					<li key={image.id}>
						<button type="button" aria-label={image.prompt} onClick={() => onOpen(image.id)} className="block w-full">
							<img
								src={image.url}
								alt=""
								loading="lazy"
								width={image.width}
								height={image.height}
								className="aspect-square w-full rounded-lg border border-line object-cover"
							/>
						</button>
					</li>
				))}
			</ul>
		</section>
	);

import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useImages } from '../../lib/queries.ts';
import { t } from '../../strings.ts';

const SHOWN = 12;

/** The latest pictures, small; `empty` when there is none at all. */
export const Recent = ({ empty }: { empty: ReactNode }) => {
	const { data, isSuccess } = useImages();
	const images = data?.pages[0]?.data.slice(0, SHOWN) ?? [];
	if (images.length === 0) return isSuccess ? empty : null;
	return (
		<section aria-label={t.gallery.title}>
			<h2 className="mb-2 text-sm font-medium text-muted">
				<Link to="/gallery">{t.gallery.title}</Link>
			</h2>
			<ul className="grid grid-cols-4 gap-2 sm:grid-cols-6 xl:grid-cols-8">
				{images.map((image) => (
					<li key={image.id}>
						<Link to="/gallery" className="block">
							<img
								src={image.url}
								alt={image.prompt}
								loading="lazy"
								width={image.width}
								height={image.height}
								className="aspect-square w-full rounded-lg border border-line object-cover"
							/>
						</Link>
					</li>
				))}
			</ul>
		</section>
	);
};

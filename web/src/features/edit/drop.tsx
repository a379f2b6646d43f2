import { Link } from '@tanstack/react-router';
import { ImageUp } from 'lucide-react';
import { useEffect, useRef, type DragEvent } from 'react';
import { t } from '../../strings.ts';
import { Button } from '../../ui/button.tsx';
import { sayError } from '../../ui/toast.tsx';
import { fromFile } from './source.ts';

const take = (file: File | null | undefined, multiple: number): void => {
	if (file) fromFile(file, multiple).catch(sayError);
};

/** Takes pasted pictures while the page is open, and gives handlers that take dropped ones. */
export const useArrivals = (multiple: number) => {
	useEffect(() => {
		const paste = (event: ClipboardEvent): void => {
			const item = [...(event.clipboardData?.items ?? [])].find(({ type }) => type.startsWith('image/'));
			take(item?.getAsFile(), multiple);
		};
		addEventListener('paste', paste);
		return () => removeEventListener('paste', paste);
	}, [multiple]);
	return {
		onDragOver: (event: DragEvent) => event.preventDefault(),
		onDrop: (event: DragEvent) => {
			event.preventDefault();
			take(event.dataTransfer.files[0], multiple);
		},
	};
};

/** Says how a picture gets here. */
export const DropZone = ({ multiple }: { multiple: number }) => {
	const input = useRef<HTMLInputElement>(null);
	return (
		<div className="flex min-h-80 flex-col items-center justify-center gap-4 rounded-2xl border-2 border-dashed border-line p-8 text-center">
			<ImageUp size={40} aria-hidden className="text-muted" />
			<p>{t.edit.lead}</p>
			<input
				ref={input}
				type="file"
				accept="image/*"
				aria-label={t.edit.choose}
				className="hidden"
				onChange={(event) => take(event.target.files?.[0], multiple)}
			/>
			<div className="flex flex-wrap items-center justify-center gap-3">
				<Button kind="primary" onClick={() => input.current?.click()}>
					{t.edit.choose}
				</Button>
				<Link to="/gallery" className="text-sm text-accent underline">
					{t.edit.fromGallery}
				</Link>
			</div>
		</div>
	);
};

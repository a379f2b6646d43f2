import { Link } from '@tanstack/react-router';
import { ImageUp } from 'lucide-react';
import { useEffect, useRef } from 'react';
import { t } from '../../strings.ts';
import { Button } from '../../ui/button.tsx';
import { sayError } from '../../ui/toast.tsx';
import { fromFile } from './source.ts';

/** Takes a picture by drop, paste or choice. */
export const DropZone = ({ multiple }: { multiple: number }) => {
	const input = useRef<HTMLInputElement>(null);
	const take = (file: File | null | undefined): void => {
		if (file) fromFile(file, multiple).catch(sayError);
	};
	useEffect(() => {
		const paste = (event: ClipboardEvent): void => {
			const item = [...(event.clipboardData?.items ?? [])].find(({ type }) => type.startsWith('image/'));
			const file = item?.getAsFile();
			if (file) fromFile(file, multiple).catch(sayError);
		};
		addEventListener('paste', paste);
		return () => removeEventListener('paste', paste);
	}, [multiple]);
	return (
		<div
			onDragOver={(event) => event.preventDefault()}
			onDrop={(event) => {
				event.preventDefault();
				take(event.dataTransfer.files[0]);
			}}
			className="flex min-h-80 flex-col items-center justify-center gap-4 rounded-2xl border-2 border-dashed border-line p-8 text-center"
		>
			<ImageUp size={40} aria-hidden className="text-muted" />
			<p>{t.edit.lead}</p>
			<input
				ref={input}
				type="file"
				accept="image/*"
				aria-label={t.edit.choose}
				className="hidden"
				onChange={(event) => take(event.target.files?.[0])}
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

import { useState } from 'react';
import { t } from '../../strings.ts';

/** Two pictures on top of each other, with a slider that shows more of one or the other. */
export const Compare = ({ before, after, width, height }: { before: string; after: string; width: number; height: number }) => {
	const [share, setShare] = useState(50);
	return (
		<div className="flex flex-col gap-2">
			<div className="checkered relative overflow-hidden rounded-xl border border-line" style={{ aspectRatio: `${width} / ${height}` }}>
				<img src={before} alt="" className="absolute inset-0 size-full object-cover" />
				<img src={after} alt="" className="absolute inset-0 size-full object-cover" style={{ clipPath: `inset(0 0 0 ${share}%)` }} />
				<div className="absolute inset-y-0 w-0.5 bg-white shadow" style={{ left: `${share}%` }} />
			</div>
			<input
				type="range"
				min={0}
				max={100}
				value={share}
				aria-label={t.edit.compare}
				onChange={(event) => setShare(event.target.valueAsNumber)}
				className="w-full accent-accent"
			/>
		</div>
	);
};

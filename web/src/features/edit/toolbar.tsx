import { Brush, Contrast, Download, Eraser, Lasso, PaintBucket, Redo2, Square, Trash2, Undo2, Upload, X } from 'lucide-react';
import { useRef } from 'react';
import { t } from '../../strings.ts';
import { IconButton } from '../../ui/button.tsx';
import { Range } from '../../ui/field.tsx';
import { MAX_SIZE, MIN_SIZE, type Tool, type Tools } from './tools.ts';

interface Props {
	tools: Tools;
	onTools: (change: Partial<Tools>) => void;
	canUndo: boolean;
	canRedo: boolean;
	onAct: (what: 'fill' | 'invert' | 'clear' | 'undo' | 'redo' | 'export' | 'close') => void;
	onImport: (file: File) => void;
}

const TOOLS: readonly { tool: Tool; label: string; Icon: typeof Brush }[] = [
	{ tool: 'brush', label: t.edit.tools.brush, Icon: Brush },
	{ tool: 'eraser', label: t.edit.tools.eraser, Icon: Eraser },
	{ tool: 'lasso', label: t.edit.tools.lasso, Icon: Lasso },
	{ tool: 'rectangle', label: t.edit.tools.rectangle, Icon: Square },
];

const percent = (value: number): string => `${Math.round(value * 100)} %`;

const Import = ({ onImport }: Pick<Props, 'onImport'>) => {
	const input = useRef<HTMLInputElement>(null);
	return (
		<>
			<IconButton label={t.edit.tools.import} onClick={() => input.current?.click()}>
				<Upload size={18} />
			</IconButton>
			<input
				ref={input}
				type="file"
				accept="image/*"
				aria-label={t.edit.tools.import}
				className="hidden"
				onChange={(event) => {
					const file = event.target.files?.[0];
					if (file !== undefined) onImport(file);
					event.target.value = '';
				}}
			/>
		</>
	);
};

const Sliders = ({ tools, onTools }: Pick<Props, 'tools' | 'onTools'>) => (
	<div className="grid grid-cols-2 gap-x-6 gap-y-1 sm:grid-cols-4">
		<Range
			label={t.edit.tools.size}
			help={t.edit.tools.sizeHelp}
			min={MIN_SIZE}
			max={MAX_SIZE}
			value={tools.size}
			onChange={(size) => onTools({ size })}
		/>
		<Range
			label={t.edit.tools.softness}
			help={t.edit.tools.softnessHelp}
			min={0}
			max={1}
			step={0.05}
			value={tools.softness}
			onChange={(softness) => onTools({ softness })}
			show={percent}
		/>
		<Range
			label={t.edit.tools.opacity}
			help={t.edit.tools.opacityHelp}
			min={0.1}
			max={1}
			step={0.05}
			value={tools.opacity}
			onChange={(opacity) => onTools({ opacity })}
			show={percent}
		/>
		<Range
			label={t.edit.tools.feather}
			help={t.edit.tools.featherHelp}
			min={0}
			max={64}
			value={tools.feather}
			onChange={(feather) => onTools({ feather })}
			show={(value) => `${value} px`}
		/>
	</div>
);

/** Tools of the mask, as buttons and sliders. */
export const Toolbar = ({ tools, onTools, canUndo, canRedo, onAct, onImport }: Props) => (
	<div className="flex flex-col gap-3 rounded-2xl border border-line bg-panel p-3">
		<div role="toolbar" aria-label={t.edit.maskHint} className="flex flex-wrap gap-1">
			{TOOLS.map(({ tool, label, Icon }) => (
				<IconButton key={tool} label={label} pressed={tools.tool === tool} onClick={() => onTools({ tool })}>
					<Icon size={18} />
				</IconButton>
			))}
			<span className="mx-1 w-px bg-line" />
			<IconButton label={t.edit.tools.undo} disabled={!canUndo} onClick={() => onAct('undo')}>
				<Undo2 size={18} />
			</IconButton>
			<IconButton label={t.edit.tools.redo} disabled={!canRedo} onClick={() => onAct('redo')}>
				<Redo2 size={18} />
			</IconButton>
			<IconButton label={t.edit.tools.fill} onClick={() => onAct('fill')}>
				<PaintBucket size={18} />
			</IconButton>
			<IconButton label={t.edit.tools.invert} onClick={() => onAct('invert')}>
				<Contrast size={18} />
			</IconButton>
			<IconButton label={t.edit.tools.clear} onClick={() => onAct('clear')}>
				<Trash2 size={18} />
			</IconButton>
			<Import onImport={onImport} />
			<IconButton label={t.edit.tools.export} onClick={() => onAct('export')}>
				<Download size={18} />
			</IconButton>
			<IconButton label={t.edit.tools.close} onClick={() => onAct('close')} className="ml-auto">
				<X size={18} />
			</IconButton>
		</div>
		<Sliders tools={tools} onTools={onTools} />
	</div>
);

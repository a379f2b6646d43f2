import type { Model } from '@limner/sdk';
import { Brush } from 'lucide-react';
import { useEffect, useRef, useState, type RefObject } from 'react';
import { download } from '../../lib/download.ts';
import { modelOf } from '../../lib/models.ts';
import { useModels } from '../../lib/queries.ts';
import { useValue } from '../../lib/value.ts';
import { t } from '../../strings.ts';
import { INPUT, Range, Select } from '../../ui/field.tsx';
import { SubmitRow } from '../../ui/submit.tsx';
import { sayError } from '../../ui/toast.tsx';
import { draft, effective, SEED_END } from '../create/draft.ts';
import { submit, useEntries } from '../jobs/store.ts';
import { Candidates } from './candidates.tsx';
import { DropZone, useArrivals } from './drop.tsx';
import { doOp, EMPTY_MASK, redo, undo, type Mask } from './mask.ts';
import { editModels, usualStrength } from './model.ts';
import { isMarked, maskFromPicture, maskPng } from './paint.ts';
import { source, type Source } from './source.ts';
import { Stage } from './stage.tsx';
import { Toolbar } from './toolbar.tsx';
import { commandOf, DEFAULT_TOOLS, type Tools } from './tools.ts';

/** Jobs of the editor carry it, so that results find back to it after a reload. */
const LABEL = 'edit';

interface Edit {
	current: Source;
	model: Model;
	prompt: string;
	strength: number;
	feather: number;
	canvas: HTMLCanvasElement;
}

const send = async ({ current, model, prompt, strength, feather, canvas }: Edit): Promise<void> => {
	const marked = isMarked(canvas);
	const wanted = draft.get();
	const { steps, guidance, scheduler } = effective(wanted, model);
	const { width, height } = current;
	const mask = marked ? { maskImage: await maskPng(canvas), ...(feather > 0 ? { maskFeather: feather } : {}) } : {};
	const request = {
		prompt: prompt.trim(),
		model: model.name,
		task: marked ? ('inpaint' as const) : ('img2img' as const),
		width,
		height,
		steps,
		guidance,
		scheduler,
		strength,
		n: wanted.n,
		seed: wanted.seed ?? Math.floor(Math.random() * SEED_END),
		labels: [LABEL],
		initImage: current.picture,
		...mask,
	};
	await submit(request, current);
};

/** A key that is typed into a text is no command. */
const isTyping = (event: globalThis.KeyboardEvent): boolean =>
	event.target instanceof HTMLElement && event.target.matches('input:not([type=range]), textarea, select');

const useMask = (canvas: RefObject<HTMLCanvasElement | null>, size: Source) => {
	const [mask, setMask] = useState<Mask>(EMPTY_MASK);
	const [tools, setTools] = useState<Tools>(DEFAULT_TOOLS);
	const change = (part: Partial<Tools>): void => setTools((had) => ({ ...had, ...part }));
	useEffect(() => setMask(EMPTY_MASK), [size]);
	useEffect(() => {
		const key = (event: globalThis.KeyboardEvent): void => {
			const command = isTyping(event) ? undefined : commandOf(event, tools);
			if (command === undefined) return;
			event.preventDefault();
			if ('tools' in command) change(command.tools);
			else setMask(command.history === 'undo' ? undo : redo);
		};
		addEventListener('keydown', key);
		return () => removeEventListener('keydown', key);
	}, [tools]);
	const save = async (): Promise<void> => {
		if (canvas.current === null) return;
		download(await maskPng(canvas.current), 'mask.png');
	};
	const act = (what: 'fill' | 'invert' | 'clear' | 'undo' | 'redo' | 'export' | 'close'): void => {
		if (what === 'undo') setMask(undo);
		else if (what === 'redo') setMask(redo);
		else if (what === 'export') save().catch(sayError);
		else if (what === 'close') source.set(undefined);
		else setMask((had) => doOp(had, { kind: what }));
	};
	const load = async (file: File): Promise<void> => {
		const image = maskFromPicture(await createImageBitmap(file), size.width, size.height);
		setMask((had) => doOp(had, { kind: 'image', image }));
	};
	return { mask, setMask, tools, change, act, load };
};

interface FormProps {
	model: Model | undefined;
	able: readonly Model[];
	prompt: string;
	onPrompt: (prompt: string) => void;
	strength: number;
	onStrength: (strength: number) => void;
	marked: boolean;
	onModel: (name: string) => void;
	count: number;
	onGo: () => void;
}

const hint = (model: Model | undefined, prompt: string): string => {
	if (model === undefined) return t.edit.notSupported;
	return prompt.trim() === '' ? t.create.why.prompt : t.edit.maskHint;
};

const EditForm = ({ model, able, prompt, onPrompt, strength, onStrength, marked, onModel, count, onGo }: FormProps) => (
	<form
		onSubmit={(event) => {
			event.preventDefault();
			onGo();
		}}
		className="flex flex-col gap-3 rounded-2xl border border-line bg-panel p-4"
	>
		<label htmlFor="edit-prompt" className="font-medium">
			{t.create.prompt}
		</label>
		<textarea
			id="edit-prompt"
			rows={2}
			maxLength={4000}
			value={prompt}
			onChange={(event) => onPrompt(event.target.value)}
			className={INPUT}
		/>
		<div className="grid gap-4 sm:grid-cols-2 lg:grid-cols-1">
			<Range
				label={t.edit.strength}
				help={t.create.help.strength}
				min={0.05}
				max={1}
				step={0.05}
				value={strength}
				onChange={onStrength}
				show={(value) => value.toFixed(2)}
			/>
			<Range
				label={t.create.count}
				help={t.create.help.count}
				min={1}
				max={16}
				value={count}
				onChange={(n) => draft.set({ ...draft.get(), n })}
			/>
			<Select
				label={t.create.model}
				value={model?.name ?? ''}
				options={able.map(({ name, displayName }) => ({ value: name, label: displayName }))}
				onChange={onModel}
			/>
		</div>
		<SubmitRow
			icon={<Brush size={16} />}
			label={marked ? t.edit.goMask : t.edit.go}
			disabled={model === undefined || prompt.trim() === ''}
			whyId="edit-why"
			why={hint(model, prompt)}
		/>
	</form>
);

const Editor = ({ current, models }: { current: Source; models: readonly Model[] }) => {
	const wanted = useValue(draft);
	const canvas = useRef<HTMLCanvasElement>(null);
	const { mask, setMask, tools, change, act, load } = useMask(canvas, current);
	const marked = mask.done.length > 0 && mask.done.at(-1)?.kind !== 'clear';
	const [here, setHere] = useState<string>();
	const { able, model } = editModels(models, marked, { here, elsewhere: wanted.model });
	const [prompt, setPrompt] = useState(current.prompt === '' ? wanted.prompt : current.prompt);
	const [moved, setStrength] = useState<number>();
	const strength = moved ?? usualStrength(model);
	const go = (): void => {
		if (canvas.current === null || model === undefined || prompt.trim() === '') return;
		send({ current, model, prompt, strength, feather: tools.feather, canvas: canvas.current }).catch(sayError);
	};
	return (
		<div className="flex flex-col gap-4 lg:grid lg:grid-cols-[minmax(0,1fr)_20rem] lg:items-start">
			<div className="flex min-w-0 flex-col gap-4">
				<Toolbar
					tools={tools}
					onTools={change}
					canUndo={mask.done.length > 0}
					canRedo={mask.undone.length > 0}
					onAct={act}
					onImport={(file) => void load(file).catch(sayError)}
				/>
				<Stage source={current} ops={mask.done} tools={tools} canvas={canvas} onDraw={(op) => setMask((had) => doOp(had, op))} />
			</div>
			<EditForm
				{...{ model, able, prompt, strength }}
				onPrompt={setPrompt}
				onStrength={setStrength}
				marked={marked}
				onModel={setHere}
				count={wanted.n}
				onGo={go}
			/>
		</div>
	);
};

/** Draw parts of a picture anew, or all of it. */
export const EditPage = () => {
	const { data: models = [] } = useModels();
	const current = useValue(source);
	const multiple = modelOf(models, undefined)?.sizeMultiple ?? 8;
	const arrivals = useArrivals(multiple);
	const entries = useEntries().filter(({ request, job }) => (request.labels ?? job?.request.labels ?? []).includes(LABEL));
	return (
		<div {...arrivals} className="mx-auto flex max-w-7xl flex-col gap-6 p-4 sm:p-6">
			<h1 className="font-display text-2xl">{t.edit.title}</h1>
			{current === undefined ? <DropZone multiple={multiple} /> : <Editor key={current.url} current={current} models={models} />}
			{current === undefined ? null : <Candidates entries={entries} source={current} />}
		</div>
	);
};

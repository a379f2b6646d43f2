import { Maximize } from 'lucide-react';
import { useCallback, useEffect, useLayoutEffect, useRef, useState, type PointerEvent, type RefObject } from 'react';
import { t } from '../../strings.ts';
import { IconButton } from '../../ui/button.tsx';
import { fit, pinch, rectangle, toPicture, zoom, type Op, type Point, type View } from './mask.ts';
import { contextOf, paintOp, repaint } from './paint.ts';
import type { Source } from './source.ts';
import type { Tools } from './tools.ts';

interface Props {
	source: Source;
	ops: readonly Op[];
	tools: Tools;
	canvas: RefObject<HTMLCanvasElement | null>;
	onDraw: (op: Op) => void;
}

const WHEEL_ZOOM = 0.0015;

const opOf = (tools: Tools, points: readonly Point[]): Op => {
	const erase = tools.tool === 'eraser';
	const [first, last] = [points[0], points.at(-1)];
	if (tools.tool === 'rectangle' && first !== undefined && last !== undefined)
		return { kind: 'area', erase, points: rectangle(first, last) };
	if (tools.tool === 'lasso') return { kind: 'area', erase, points };
	return { kind: 'stroke', erase, size: tools.size, softness: tools.softness, points };
};

/** What the fingers and the mouse do: one draws, two (or one with Space, or the middle button) move the view. */
const usePointers = ({ source, ops, tools, canvas, onDraw }: Props, stage: RefObject<HTMLDivElement | null>) => {
	const [view, setView] = useState<View>({ scale: 1, x: 0, y: 0 });
	const fingers = useRef(new Map<number, Point>());
	const points = useRef<Point[] | undefined>(undefined);
	const space = useRef(false);
	const fitView = useCallback(() => {
		const box = stage.current?.getBoundingClientRect();
		if (box !== undefined) setView(fit(source, box));
	}, [source, stage]);
	useLayoutEffect(fitView, [fitView]);
	useEffect(() => {
		const watch = (event: globalThis.KeyboardEvent): void => {
			if (event.key !== ' ') return;
			space.current = event.type === 'keydown';
			// It would scroll the page away from under the hand; a button that has the focus keeps it.
			if (event.target === document.body || event.target instanceof HTMLDivElement) event.preventDefault();
		};
		addEventListener('keydown', watch);
		addEventListener('keyup', watch);
		return () => {
			removeEventListener('keydown', watch);
			removeEventListener('keyup', watch);
		};
	}, []);
	const at = (event: PointerEvent): Point => {
		const box = stage.current?.getBoundingClientRect();
		return [event.clientX - (box?.left ?? 0), event.clientY - (box?.top ?? 0)];
	};
	const show = (extra: readonly Op[]): void => {
		if (canvas.current === null) return;
		repaint(canvas.current, ops);
		for (const op of extra) paintOp(contextOf(canvas.current), op);
	};
	const down = (event: PointerEvent<HTMLDivElement>): void => {
		event.currentTarget.setPointerCapture(event.pointerId);
		fingers.current.set(event.pointerId, at(event));
		const draws = fingers.current.size === 1 && !space.current && event.button === 0;
		// A second finger turns a stroke that just began into a pinch: nothing of it stays.
		points.current = draws ? [toPicture(view, at(event))] : undefined;
		show(points.current === undefined ? [] : [opOf(tools, points.current)]);
	};
	const move = (event: PointerEvent<HTMLDivElement>): void => {
		const before = fingers.current.get(event.pointerId);
		if (before === undefined) return;
		const now = at(event);
		const other = [...fingers.current].find(([id]) => id !== event.pointerId)?.[1];
		fingers.current.set(event.pointerId, now);
		if (points.current !== undefined) {
			points.current.push(toPicture(view, now));
			show([opOf(tools, points.current)]);
		} else if (other === undefined) setView((had) => ({ ...had, x: had.x + now[0] - before[0], y: had.y + now[1] - before[1] }));
		else setView((had) => pinch(had, [before, other], [now, other]));
	};
	const up = (event: PointerEvent<HTMLDivElement>): void => {
		fingers.current.delete(event.pointerId);
		if (points.current !== undefined && event.type === 'pointerup') onDraw(opOf(tools, points.current));
		else show([]);
		points.current = undefined;
	};
	return { view, setView, fitView, handlers: { onPointerDown: down, onPointerMove: move, onPointerUp: up, onPointerCancel: up } };
};

/** The picture with its mask over it. */
export const Stage = (props: Props) => {
	const { source, ops, tools, canvas } = props;
	const stage = useRef<HTMLDivElement>(null);
	const { view, setView, fitView, handlers } = usePointers(props, stage);
	useEffect(() => {
		if (canvas.current !== null) repaint(canvas.current, ops);
	}, [canvas, ops, source]);
	useEffect(() => {
		const element = stage.current;
		// Not as a React handler: those can not keep the page from scrolling.
		const wheel = (event: WheelEvent): void => {
			event.preventDefault();
			const box = element?.getBoundingClientRect();
			setView((had) =>
				zoom(had, Math.exp(-event.deltaY * WHEEL_ZOOM), [event.clientX - (box?.left ?? 0), event.clientY - (box?.top ?? 0)]),
			);
		};
		element?.addEventListener('wheel', wheel, { passive: false });
		return () => element?.removeEventListener('wheel', wheel);
	}, [setView]);
	return (
		<div
			ref={stage}
			{...handlers}
			onDoubleClick={fitView}
			role="application"
			aria-label={t.edit.maskHint}
			data-testid="stage"
			className="checkered relative h-[min(60dvh,40rem)] touch-none overflow-hidden rounded-2xl border border-line select-none"
			style={{ cursor: 'crosshair' }}
		>
			<div
				data-testid="picture"
				className="absolute top-0 left-0 origin-top-left"
				style={{ width: source.width, height: source.height, transform: `translate(${view.x}px, ${view.y}px) scale(${view.scale})` }}
			>
				<img
					src={source.url}
					alt={source.prompt}
					width={source.width}
					height={source.height}
					draggable={false}
					className="absolute inset-0 max-w-none"
				/>
				<canvas
					ref={canvas}
					width={source.width}
					height={source.height}
					className="absolute inset-0"
					style={{ opacity: tools.opacity, imageRendering: view.scale > 3 ? 'pixelated' : 'auto' }}
				/>
			</div>
			<div className="absolute right-2 bottom-2 rounded-lg bg-panel" onPointerDown={(event) => event.stopPropagation()}>
				<IconButton label={t.edit.tools.fit} onClick={fitView}>
					<Maximize size={18} />
				</IconButton>
			</div>
		</div>
	);
};

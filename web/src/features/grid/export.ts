/**
 * A grid as one PNG: the pictures with their labels, as on the page.
 * @module
 */
import { contextOf, makeCanvas, toBlob } from '../edit/paint.ts';
import type { Table } from './axes.ts';

const GAP_PX = 8;
const PAD_PX = 16;
const LABEL_PX = 26;
const TITLE_PX = 40;
const FONT = 'system-ui, sans-serif';
const MIN_CELL_PX = 96;
/** Canvases beyond it fail in some browsers. */
const MAX_SIDE_PX = 8192;

export interface Texts {
	title: string;
	column: (value: string) => string;
	row: (value: string) => string;
}

const load = async (url: string): Promise<ImageBitmap> => createImageBitmap(await (await fetch(url)).blob());

/** `text` cut to `width` pixels. */
const fitText = (context: CanvasRenderingContext2D, text: string, width: number): string => {
	if (context.measureText(text).width <= width) return text;
	let end = text.length;
	while (end > 1 && context.measureText(`${text.slice(0, end)}…`).width > width) end--;
	return `${text.slice(0, end)}…`;
};

/** Size of a cell: the pictures' own where the whole fits a canvas. */
const cellSize = (table: Table): { width: number; height: number } => {
	const request = table.cells.flat().find((job) => job !== undefined)?.request;
	const [width, height] = [request?.width ?? 1, request?.height ?? 1];
	const grown = Math.max(1, MIN_CELL_PX / width);
	const scale = Math.min(grown, MAX_SIDE_PX / (width * table.columns.length * 1.1), MAX_SIDE_PX / (height * table.rows.length * 1.1));
	return { width: Math.round(width * scale), height: Math.round(height * scale) };
};

const labelWidth = (context: CanvasRenderingContext2D, table: Table, texts: Texts): number => {
	context.font = `14px ${FONT}`;
	return Math.min(240, Math.ceil(Math.max(0, ...table.rows.map((value) => context.measureText(texts.row(value)).width))));
};

interface Place {
	left: number;
	top: number;
	cell: { width: number; height: number };
}

const drawLabels = (context: CanvasRenderingContext2D, table: Table, texts: Texts, { left, top, cell }: Place): void => {
	const { width } = context.canvas;
	context.fillStyle = '#231f1a';
	context.textBaseline = 'middle';
	context.font = `600 16px ${FONT}`;
	context.fillText(fitText(context, texts.title, width - 2 * PAD_PX), PAD_PX, PAD_PX + TITLE_PX / 2 - 4);
	context.font = `14px ${FONT}`;
	context.textAlign = 'center';
	for (const [i, value] of table.columns.entries()) {
		const x = left + i * (cell.width + GAP_PX) + cell.width / 2;
		context.fillText(fitText(context, texts.column(value), cell.width), x, top - LABEL_PX / 2);
	}
	context.textAlign = 'right';
	for (const [j, value] of table.rows.entries()) {
		context.fillText(texts.row(value), left - GAP_PX, top + j * (cell.height + GAP_PX) + cell.height / 2, left - PAD_PX - GAP_PX);
	}
};

const drawCells = async (context: CanvasRenderingContext2D, table: Table, { left, top, cell }: Place): Promise<void> => {
	context.strokeStyle = '#d9d0c0';
	for (const [j, row] of table.cells.entries()) {
		for (const [i, job] of row.entries()) {
			const [x, y] = [left + i * (cell.width + GAP_PX), top + j * (cell.height + GAP_PX)];
			const url = job?.images[0]?.url;
			if (url === undefined) context.strokeRect(x + 0.5, y + 0.5, cell.width - 1, cell.height - 1);
			else context.drawImage(await load(url), x, y, cell.width, cell.height);
		}
	}
};

/** Draws the table; pictures that were not made stay empty. */
export const gridPng = async (table: Table, texts: Texts): Promise<Blob> => {
	const cell = cellSize(table);
	const left = PAD_PX + labelWidth(contextOf(makeCanvas(1, 1)), table, texts) + GAP_PX;
	const top = PAD_PX + TITLE_PX + LABEL_PX;
	const width = left + table.columns.length * (cell.width + GAP_PX) + PAD_PX;
	const canvas = makeCanvas(width, top + table.rows.length * (cell.height + GAP_PX) + PAD_PX);
	const context = contextOf(canvas);
	context.fillStyle = '#ffffff';
	context.fillRect(0, 0, canvas.width, canvas.height);
	drawLabels(context, table, texts, { left, top, cell });
	await drawCells(context, table, { left, top, cell });
	return toBlob(canvas);
};

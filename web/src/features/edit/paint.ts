/**
 * Pixels of a mask: its alpha says how much a place is marked.
 * @module
 */
import { needed, type Op, type Point } from './mask.ts';

/** Colour of the mark over the picture; the alpha is what counts. */
const INK = '#e0218a';
const DAB_SPACING = 0.12;

export const makeCanvas = (width: number, height: number): HTMLCanvasElement => {
	const canvas = document.createElement('canvas');
	canvas.width = width;
	canvas.height = height;
	return canvas;
};

export const contextOf = (canvas: HTMLCanvasElement): CanvasRenderingContext2D => {
	const context = canvas.getContext('2d', { willReadFrequently: true });
	if (context === null) throw new Error('This browser can not draw on a canvas.');
	return context;
};

const trace = (context: CanvasRenderingContext2D, points: readonly Point[]): void => {
	context.beginPath();
	for (const [i, [x, y]] of points.entries()) {
		if (i === 0) context.moveTo(x, y);
		else context.lineTo(x, y);
	}
};

/** Soft edges: one gradient after the other along the line. */
const dabs = (context: CanvasRenderingContext2D, points: readonly Point[], size: number, softness: number): void => {
	const radius = size / 2;
	const dab = ([x, y]: Point): void => {
		const gradient = context.createRadialGradient(x, y, radius * (1 - softness), x, y, radius);
		gradient.addColorStop(0, INK);
		gradient.addColorStop(1, `${INK}00`);
		context.fillStyle = gradient;
		context.fillRect(x - radius, y - radius, size, size);
	};
	const [first] = points;
	if (first !== undefined) dab(first);
	for (let i = 1; i < points.length; i++) {
		const [from, to] = [points[i - 1], points[i]];
		if (from === undefined || to === undefined) continue;
		const count = Math.max(1, Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1]) / Math.max(1, size * DAB_SPACING)));
		for (let k = 1; k <= count; k++) dab([from[0] + ((to[0] - from[0]) * k) / count, from[1] + ((to[1] - from[1]) * k) / count]);
	}
};

const line = (context: CanvasRenderingContext2D, points: readonly Point[], size: number): void => {
	const [first] = points;
	if (first === undefined) return;
	context.lineWidth = size;
	context.lineCap = 'round';
	context.lineJoin = 'round';
	trace(context, points.length === 1 ? [first, [first[0] + 0.01, first[1]]] : points);
	context.stroke();
};

/** Draws one operation over what is there. */
export const paintOp = (context: CanvasRenderingContext2D, op: Op): void => {
	const { width, height } = context.canvas;
	context.save();
	context.fillStyle = INK;
	context.strokeStyle = INK;
	if ('erase' in op && op.erase) context.globalCompositeOperation = 'destination-out';
	if (op.kind === 'stroke') {
		if (op.softness > 0) dabs(context, op.points, op.size, op.softness);
		else line(context, op.points, op.size);
	} else if (op.kind === 'area') {
		trace(context, op.points);
		context.closePath();
		context.fill();
	} else {
		// Source-out leaves the fill only where nothing was: the inverse.
		if (op.kind === 'invert') context.globalCompositeOperation = 'source-out';
		else context.clearRect(0, 0, width, height);
		if (op.kind === 'image') context.drawImage(op.image, 0, 0, width, height);
		else if (op.kind !== 'clear') context.fillRect(0, 0, width, height);
	}
	context.restore();
};

/** Draws all of a mask anew. */
export const repaint = (canvas: HTMLCanvasElement, ops: readonly Op[]): void => {
	const context = contextOf(canvas);
	context.clearRect(0, 0, canvas.width, canvas.height);
	for (const op of needed(ops)) paintOp(context, op);
};

/** Whether any place is marked. */
export const isMarked = (canvas: HTMLCanvasElement): boolean => {
	const { data } = contextOf(canvas).getImageData(0, 0, canvas.width, canvas.height);
	for (let i = 3; i < data.length; i += 4) if ((data[i] ?? 0) > 0) return true;
	return false;
};

export const toBlob = (canvas: HTMLCanvasElement): Promise<Blob> =>
	new Promise((resolve, reject) =>
		canvas.toBlob((blob) => (blob === null ? reject(new Error('The browser could not encode the picture.')) : resolve(blob)), 'image/png'),
	);

/** The mask as the gateway wants it: an opaque PNG, white where the picture is drawn anew. */
export const maskPng = (canvas: HTMLCanvasElement): Promise<Blob> => {
	const { width, height } = canvas;
	const white = makeCanvas(width, height);
	const tint = contextOf(white);
	tint.drawImage(canvas, 0, 0);
	tint.globalCompositeOperation = 'source-in';
	tint.fillStyle = '#fff';
	tint.fillRect(0, 0, width, height);
	const out = makeCanvas(width, height);
	const context = contextOf(out);
	context.fillStyle = '#000';
	context.fillRect(0, 0, width, height);
	context.drawImage(white, 0, 0);
	return toBlob(out);
};

/** A mask from a picture: transparent places are marked where there are any, else the light ones. */
export const maskFromPicture = (picture: ImageBitmap, width: number, height: number): HTMLCanvasElement => {
	const canvas = makeCanvas(width, height);
	const context = contextOf(canvas);
	context.drawImage(picture, 0, 0, width, height);
	const pixels = context.getImageData(0, 0, width, height);
	const { data } = pixels;
	let clear = false;
	for (let i = 3; i < data.length; i += 4) clear ||= (data[i] ?? 255) < 255;
	for (let i = 0; i < data.length; i += 4) {
		const [r = 0, g = 0, b = 0, a = 0] = [data[i], data[i + 1], data[i + 2], data[i + 3]];
		data.set([0xe0, 0x21, 0x8a, clear ? 255 - a : Math.round(0.299 * r + 0.587 * g + 0.114 * b)], i);
	}
	context.putImageData(pixels, 0, 0);
	return canvas;
};

/** A picture at a size that the model can draw, as PNG. */
export const sizedPng = (picture: ImageBitmap, width: number, height: number): Promise<Blob> => {
	const canvas = makeCanvas(width, height);
	contextOf(canvas).drawImage(picture, 0, 0, width, height);
	return toBlob(canvas);
};

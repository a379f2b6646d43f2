/**
 * Sizes that clients of other services ask for, against sizes that the model was trained for. Pure.
 * @module
 */
import { REQUEST_LIMITS } from '@limner/shared';
import type { KnownModel } from '../../lib/catalog.ts';

export interface Size {
	width: number;
	height: number;
}
export type SizePolicy = 'snap' | 'refuse';
export type SizeVerdict = { ok: true; size: Size; warning?: string } | { ok: false; detail: string };

/** A model draws well between a quarter of its native area and four times as much; beyond, subjects repeat or vanish. */
const AREA_FACTOR = 4;
/** Aspect ratios of the sizes that are proposed. */
const RATIOS: readonly (readonly [number, number])[] = [
	[1, 1],
	[4, 3],
	[3, 4],
	[3, 2],
	[2, 3],
	[16, 9],
	[9, 16],
];
type SizedModel = Pick<KnownModel, 'name' | 'nativeWidth' | 'nativeHeight' | 'sizeMultiple'>;

export const sizeText = ({ width, height }: Size): string => `${width}x${height}`;

const clamp = (value: number, multiple: number): number => {
	const rounded = Math.round(value / multiple) * multiple;
	const lowest = Math.ceil(REQUEST_LIMITS.sizeMinPx / multiple) * multiple;
	const highest = Math.floor(REQUEST_LIMITS.sizeMaxPx / multiple) * multiple;
	return Math.min(highest, Math.max(lowest, rounded));
};

/** The size of the model's native area with the given aspect ratio, or as near as its multiple allows. */
export const sizeOfRatio = (model: SizedModel, width: number, height: number): Size => {
	const scale = Math.sqrt((model.nativeWidth * model.nativeHeight) / (width * height));
	return { width: clamp(width * scale, model.sizeMultiple), height: clamp(height * scale, model.sizeMultiple) };
};

/** Sizes to propose for a model, the native one first. */
export const sizesOf = (model: SizedModel): Size[] => {
	const all = [{ width: model.nativeWidth, height: model.nativeHeight }, ...RATIOS.map(([w, h]) => sizeOfRatio(model, w, h))];
	return all.filter((size, index) => all.findIndex((other) => sizeText(other) === sizeText(size)) === index);
};

/** Whether the model can do the size. */
export const suits = (model: SizedModel, { width, height }: Size): boolean => {
	const area = (width * height) / (model.nativeWidth * model.nativeHeight);
	const within = (side: number): boolean =>
		side % model.sizeMultiple === 0 && side >= REQUEST_LIMITS.sizeMinPx && side <= REQUEST_LIMITS.sizeMaxPx;
	return within(width) && within(height) && area <= AREA_FACTOR && area >= 1 / AREA_FACTOR;
};

/** What becomes of a size that was asked for. */
export const fitSize = (model: SizedModel, wanted: Size | undefined, policy: SizePolicy): SizeVerdict => {
	if (wanted === undefined) return { ok: true, size: { width: model.nativeWidth, height: model.nativeHeight } };
	if (suits(model, wanted)) return { ok: true, size: wanted };
	if (policy === 'refuse') {
		const list = sizesOf(model).map(sizeText).join(', ');
		return { ok: false, detail: `${model.name} cannot draw ${sizeText(wanted)}; it can draw ${list}` };
	}
	const size = sizeOfRatio(model, wanted.width, wanted.height);
	return { ok: true, size, warning: `the size ${sizeText(wanted)} was changed to ${sizeText(size)}, which ${model.name} can draw` };
};

/** `SIZE_POLICY` of the gateway: anything but `refuse` snaps. */
export const sizePolicyOf = (text: string | undefined): SizePolicy => (text === 'refuse' ? 'refuse' : 'snap');

/**
 * Sums usage up by day, model or key. Pure.
 * @module
 */
import type { UsagePoint } from '../../rpc.ts';

export interface SeriesPoint {
	day?: string;
	model?: string;
	keyId?: string;
	jobs: number;
	failed: number;
	images: number;
	megapixelSteps: number;
}

const nameOf = (point: UsagePoint, groupBy: 'day' | 'model' | 'key'): Pick<SeriesPoint, 'day' | 'model' | 'keyId'> => {
	if (groupBy === 'day') return { day: new Date(point.dayAt).toISOString().slice(0, 10) };
	return groupBy === 'model' ? { model: point.model } : { keyId: point.keyId };
};

/** Days in order, models and keys by name. */
export const groupSeries = (points: readonly UsagePoint[], groupBy: 'day' | 'model' | 'key'): SeriesPoint[] => {
	const groups = new Map<string, SeriesPoint>();
	for (const point of points) {
		const name = nameOf(point, groupBy);
		const id = Object.values(name).join('');
		const sum = groups.get(id) ?? { ...name, jobs: 0, failed: 0, images: 0, megapixelSteps: 0 };
		groups.set(id, {
			...sum,
			jobs: sum.jobs + point.jobs,
			failed: sum.failed + point.failed,
			images: sum.images + point.images,
			megapixelSteps: Math.round((sum.megapixelSteps + point.megapixelSteps) * 1000) / 1000,
		});
	}
	return [...groups].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, point]) => point);
};

/**
 * Lines over time, or bars. The library is loaded when the first chart is shown.
 * @module
 */
import { useEffect, useRef } from 'react';
import type uPlot from 'uplot';
// oxlint-disable-next-line import/no-unassigned-import -- a style sheet has nothing to give
import 'uplot/dist/uPlot.min.css';
import { useValue } from '../lib/value.ts';
import { sayError } from './toast.tsx';
import { theme } from '../features/layout/theme.ts';

export interface Series {
	label: string;
	/** One for each of `at`; null where nothing is known. */
	values: readonly (number | null)[];
	/** A colour of the theme: `accent`, `good`, `warn`, `bad`, `muted`. */
	color: 'accent' | 'good' | 'warn' | 'bad' | 'muted';
}

interface ChartProps {
	/** What the chart says, for those who cannot see it. */
	label: string;
	/** Seconds since the epoch, growing. */
	at: readonly number[];
	series: readonly Series[];
	kind?: 'lines' | 'bars';
	height?: number;
	/** Upper end of the scale; default: the largest value. */
	max?: number;
	/** A value in words. */
	show?: (value: number) => string;
}

const HEIGHT = 180;
const DASHES = [[], [6, 4], [2, 3], [8, 3, 2, 3]];
const HALF_DAY_S = 43_200;
/** Seconds that an axis shows at least. */
const SHORTEST_S = 60;
const BAR_WIDTH = 0.7;
const BAR_MAX_PX = 40;

const colorOf = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const seriesOf = (Plot: typeof uPlot, { series, kind, show }: ChartProps): uPlot.Series[] => [
	{},
	...series.map(({ label, color }, i) => ({
		label,
		stroke: colorOf(color),
		width: kind === 'bars' ? 0 : 2,
		// Not by colour alone.
		...(kind === 'bars' ? {} : { dash: DASHES[i % DASHES.length] ?? [] }),
		...(kind === 'bars'
			? { fill: colorOf(color), paths: Plot.paths.bars?.({ size: [BAR_WIDTH, BAR_MAX_PX] }) as uPlot.Series.PathBuilder }
			: {}),
		points: { show: false },
		value: (_plot: uPlot, value: number | null) => (value === null ? '–' : (show ?? String)(value)),
	})),
];

const axesOf = ({ show }: ChartProps): uPlot.Axis[] => {
	const look = { stroke: colorOf('muted'), grid: { stroke: colorOf('line'), width: 1 }, ticks: { show: false } };
	return [
		{ ...look, grid: { show: false } },
		{ ...look, size: 64, values: (_plot, values) => values.map((value) => (show ?? String)(value)) },
	];
};

const optionsOf = (Plot: typeof uPlot, props: ChartProps, width: number): uPlot.Options => ({
	width,
	height: props.height ?? HEIGHT,
	series: seriesOf(Plot, props),
	axes: axesOf(props),
	scales: {
		x: {
			time: true,
			range: (_plot, min, max) => (props.kind === 'bars' ? [min - HALF_DAY_S, max + HALF_DAY_S] : [min, Math.max(max, min + SHORTEST_S)]),
		},
		y: { range: (_plot, _min, max) => [0, props.max ?? Math.max(1, max * 1.1)] },
	},
	cursor: { drag: { x: false, y: false } },
	legend: { live: true },
});

const dataOf = ({ at, series }: ChartProps): uPlot.AlignedData => [[...at], ...series.map(({ values }) => [...values])];

/** A chart as wide as its place. */
export const Chart = (props: ChartProps) => {
	const place = useRef<HTMLDivElement>(null);
	const plot = useRef<uPlot>(undefined);
	const latest = useRef(props);
	latest.current = props;
	const look = useValue(theme);
	const shape = `${look}|${props.kind}|${props.series.map(({ label, color }) => `${label}${color}`).join()}`;
	useEffect(() => {
		const host = place.current;
		if (host === null) return undefined;
		let gone = false;
		const resize = new ResizeObserver(() => plot.current?.setSize({ width: host.clientWidth, height: latest.current.height ?? HEIGHT }));
		const draw = async (): Promise<void> => {
			const { default: Plot } = await import('uplot');
			if (gone) return;
			plot.current = new Plot(optionsOf(Plot, latest.current, host.clientWidth), dataOf(latest.current), host);
			resize.observe(host);
		};
		void draw().catch(sayError);
		return () => {
			gone = true;
			resize.disconnect();
			plot.current?.destroy();
			plot.current = undefined;
		};
	}, [shape]);
	useEffect(() => {
		plot.current?.setData(dataOf(latest.current));
	}, [props.at, props.series]);
	// The legend below the canvas is as high as one line; kept free, so that nothing jumps.
	return (
		<div
			ref={place}
			role="img"
			aria-label={props.label}
			className="chart min-w-0 overflow-hidden"
			style={{ minHeight: (props.height ?? HEIGHT) + 32 }}
		/>
	);
};

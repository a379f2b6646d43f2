import type { Telemetry } from '@limner/sdk';
import { bytes } from '../../lib/format.ts';
import { p } from '../../strings/pool.ts';
import { Chart, type Series } from '../../ui/chart.tsx';
import { Empty } from '../../ui/panel.tsx';

const GIB = 1024 ** 3;
const percent = (value: number): string => `${Math.round(value)} %`;
const share = (value: number | undefined): number | null => (value === undefined ? null : value * 100);

const gpu = (reading: Telemetry) => reading.gpus?.[0];

const isKnown = ({ values }: Series): boolean => values.some((value) => value !== null);

/** Readings of the last hour as lines; a line for what was reported only. */
export const Readings = ({ readings }: { readings: readonly Telemetry[] }) => {
	if (readings.length < 2) return <Empty>{p.node.readingsEmpty}</Empty>;
	const oldestFirst = readings.toReversed();
	const at = oldestFirst.map((reading) => new Date(reading.at).getTime() / 1000);
	const shares: Series[] = [
		{ label: p.machines.cpu, color: 'accent' as const, values: oldestFirst.map(({ cpuUtil }) => share(cpuUtil)) },
		{ label: p.machines.util, color: 'good' as const, values: oldestFirst.map((one) => share(gpu(one)?.util)) },
		{ label: p.machines.temp, color: 'bad' as const, values: oldestFirst.map((one) => gpu(one)?.tempC ?? null) },
	].filter(isKnown);
	const amounts: Series[] = [
		{
			label: p.machines.memory,
			color: 'accent' as const,
			values: oldestFirst.map(({ rssBytes }) => (rssBytes === undefined ? null : rssBytes / GIB)),
		},
		{
			label: p.machines.vram,
			color: 'good' as const,
			values: oldestFirst.map((one) => (gpu(one)?.memUsedBytes ?? Number.NaN) / GIB).map((value) => (Number.isNaN(value) ? null : value)),
		},
	].filter(isKnown);
	return (
		<div className="grid gap-4 lg:grid-cols-2">
			{shares.length === 0 ? null : (
				<Chart
					label={`${p.node.readings}: ${shares.map(({ label }) => label).join(', ')}`}
					at={at}
					series={shares}
					max={100}
					show={percent}
				/>
			)}
			{amounts.length === 0 ? null : (
				<Chart
					label={`${p.node.readings}: ${amounts.map(({ label }) => label).join(', ')}`}
					at={at}
					series={amounts}
					show={(value) => bytes(value * GIB)}
				/>
			)}
		</div>
	);
};

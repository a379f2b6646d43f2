import type { Node, Telemetry } from '@limner/sdk';
import { bytes } from '../../lib/format.ts';
import { p } from '../../strings/pool.ts';

type Gpu = NonNullable<Telemetry['gpus']>[number];

interface Reading {
	label: string;
	text: string;
	/** 0..1 */
	share: number;
}

/** Degrees at which a bar is full: graphics cards slow themselves down about there. */
const HOT_C = 100;
const WARN_FROM = 0.85;

const percent = (share: number): string => `${Math.round(share * 100)} %`;

const ofGpu = (gpu: Gpu, name: string): Reading[] => {
	const { util, memUsedBytes, memTotalBytes, tempC } = gpu;
	return [
		...(util === undefined ? [] : [{ label: `${p.machines.util}${name}`, text: percent(util), share: util }]),
		...(memUsedBytes === undefined || memTotalBytes === undefined || memTotalBytes === 0
			? []
			: [
					{
						label: `${p.machines.vram}${name}`,
						text: `${bytes(memUsedBytes)} / ${bytes(memTotalBytes)}`,
						share: memUsedBytes / memTotalBytes,
					},
				]),
		...(tempC === undefined ? [] : [{ label: `${p.machines.temp}${name}`, text: `${Math.round(tempC)} °C`, share: tempC / HOT_C }]),
	];
};

/** What a node reported, and nothing else. */
export const readingsOf = ({ cpuUtil, gpus = [] }: Telemetry): Reading[] => [
	...(cpuUtil === undefined ? [] : [{ label: p.machines.cpu, text: percent(cpuUtil), share: cpuUtil }]),
	...gpus.flatMap((gpu, i) => ofGpu(gpu, gpus.length > 1 ? ` ${i + 1}` : '')),
];

const clamp = (share: number): number => Math.min(1, Math.max(0, share));

const Gauge = ({ label, text, share }: Reading) => (
	<div className="min-w-0">
		<div className="flex justify-between gap-2 text-xs">
			<span className="text-muted">{label}</span>
			<span className="truncate tabular-nums">{text}</span>
		</div>
		<div
			role="meter"
			aria-label={label}
			aria-valuemin={0}
			aria-valuemax={100}
			aria-valuenow={Math.round(clamp(share) * 100)}
			aria-valuetext={text}
			className="mt-1 h-1.5 overflow-hidden rounded-full bg-sunk"
		>
			<div
				className={`h-full rounded-full transition-[width] duration-300 ${share > WARN_FROM ? 'bg-warn' : 'bg-good'}`}
				style={{ width: `${clamp(share) * 100}%` }}
			/>
		</div>
	</div>
);

/** Gauges of what the node last reported; nothing when it reported nothing. */
export const Gauges = ({ node }: { node: Node }) => {
	const readings = node.telemetry === undefined || node.link === 'offline' ? [] : readingsOf(node.telemetry);
	if (readings.length === 0) return null;
	return (
		<div data-gauges className="grid grid-cols-2 gap-x-4 gap-y-2 sm:grid-cols-3">
			{readings.map((reading) => (
				<Gauge key={reading.label} {...reading} />
			))}
		</div>
	);
};

import type { ApiKey } from '@limner/sdk';
import { p } from '../../strings/pool.ts';
import { INPUT } from '../../ui/field.tsx';

type Limits = NonNullable<ApiKey['limits']>;
const WINDOWS = ['minute', 'day', 'month'] as const;
const METRICS = ['jobs', 'images', 'megapixelSteps'] as const;
type Window = (typeof WINDOWS)[number];
type Metric = (typeof METRICS)[number];

/** What stands in the fields, by `<window>.<metric>`, and `queued`. */
export type LimitFields = Readonly<Record<string, string>>;

const PER: Record<Window, string> = { minute: p.keys.perMinute, day: p.keys.perDay, month: p.keys.perMonth };

export const fieldsOf = (limits: ApiKey['limits'] | undefined): LimitFields => {
	const fields = WINDOWS.flatMap((window) =>
		METRICS.flatMap((metric) => {
			const value = limits?.[window]?.[metric];
			return value === undefined ? [] : [[`${window}.${metric}`, String(value)] as const];
		}),
	);
	const queued = limits?.queued;
	return Object.fromEntries(queued === undefined ? fields : [...fields, ['queued', String(queued)]]);
};

/** Limits out of the fields; `null` when none is filled in. */
export const limitsOf = (fields: LimitFields): Limits | null => {
	const filled = Object.entries(fields).filter(([, text]) => text.trim() !== '');
	const limits: Limits = {};
	for (const [name, text] of filled) {
		const [window, metric] = name.split('.') as [Window | 'queued', Metric?];
		if (window === 'queued') limits.queued = Number(text);
		else if (metric !== undefined) limits[window] = { ...limits[window], [metric]: Number(text) };
	}
	return filled.length === 0 ? null : limits;
};

/** `100 pictures a day, 2 open jobs at a time` */
export const limitWords = (limits: ApiKey['limits']): string =>
	Object.entries(fieldsOf(limits))
		.map(([name, text]) => {
			const [window, metric] = name.split('.') as [Window | 'queued', Metric?];
			if (window === 'queued' || metric === undefined) return `${text} ${p.keys.queued.toLowerCase()}`;
			return `${Number(text).toLocaleString()} ${p.keys[metric].toLowerCase()} ${PER[window]}`;
		})
		.join(', ');

/** A small table of numbers: what is limited, in which window. */
export const LimitInputs = ({ fields, onChange }: { fields: LimitFields; onChange: (fields: LimitFields) => void }) => {
	const input = (name: string, label: string) => (
		<input
			type="number"
			min={0}
			aria-label={label}
			value={fields[name] ?? ''}
			onChange={(event) => onChange({ ...fields, [name]: event.target.value })}
			className={INPUT}
		/>
	);
	return (
		<div className="flex flex-col gap-2">
			<table className="w-full text-sm">
				<thead>
					<tr className="text-left text-muted">
						<th scope="col" className="font-medium">
							<span className="sr-only">{p.keys.limits}</span>
						</th>
						{WINDOWS.map((window) => (
							<th key={window} scope="col" className="px-1 font-medium">
								{PER[window]}
							</th>
						))}
					</tr>
				</thead>
				<tbody>
					{METRICS.map((metric) => (
						<tr key={metric}>
							<th scope="row" className="pr-2 text-left font-normal">
								{p.keys[metric]}
							</th>
							{WINDOWS.map((window) => (
								<td key={window} className="p-1">
									{input(`${window}.${metric}`, `${p.keys[metric]} ${PER[window]}`)}
								</td>
							))}
						</tr>
					))}
				</tbody>
			</table>
			<div className="flex items-center gap-2 text-sm">
				<span className="flex-1">{p.keys.queued}</span>
				<span className="w-28">{input('queued', p.keys.queued)}</span>
			</div>
		</div>
	);
};

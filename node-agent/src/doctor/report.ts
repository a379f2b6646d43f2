/**
 * What `limner doctor` prints. Pure.
 * @module
 */
import type { CheckResult } from './checks.ts';
import type { DeviceReport } from './devices.ts';

const MARKS: Readonly<Record<CheckResult['state'], string>> = { ok: '✓', note: '!', bad: '✗', absent: '–' };

/** One line of the report, and what to do below it. */
export const reportLine = (name: string, { state, detail, fix }: CheckResult): string =>
	`${MARKS[state]} ${name.padEnd(10)} ${detail}${fix === undefined ? '' : `\n  → ${fix}`}`;

export interface NamedCheck extends CheckResult {
	name: string;
}

/** Which device `limner node` takes when it is told none. */
export const chosenDevice = (devices: readonly DeviceReport[], order: readonly string[]): string =>
	order.find((kind) => devices.some((device) => device.kind === kind && device.state === 'ok')) ?? 'cpu';

export interface Report {
	ok: boolean;
	checks: NamedCheck[];
	devices: DeviceReport[];
	/** What `--device auto` takes. */
	device: string;
}

/**
 * `npm run sim -- --policy`: ratios of the pool to both kinds of pullers, on every workload.
 * @module
 */
import { playPolicy, type PolicyName, type PolicyResult } from './policy.ts';
import { WORKLOADS, type Workload } from './workloads.ts';

const P95 = 0.95;

const p95 = (samples: readonly number[]): number => {
	const sorted = samples.toSorted((a, b) => a - b);
	return sorted[Math.ceil(P95 * sorted.length) - 1] ?? Number.NaN;
};

export interface Ratio {
	median: number;
	low: number;
	high: number;
}

export interface Comparison {
	workload: Workload;
	against: Exclude<PolicyName, 'pool'>;
	/** p95 of the wait, pool / puller: below 1 the pool is better. */
	wait: Ratio;
	makespan: Ratio;
	/** p95 of the wait of the workspace that asks for little. */
	guestWait: Ratio | undefined;
}

const ratioOf = (values: readonly number[]): Ratio => {
	const sorted = values.toSorted((a, b) => a - b);
	const at = (place: number): number => sorted[place] ?? Number.NaN;
	return { median: at(Math.floor(sorted.length / 2)), low: at(0), high: at(sorted.length - 1) };
};

const compare = (ours: readonly PolicyResult[], theirs: readonly PolicyResult[], measure: (result: PolicyResult) => number): Ratio =>
	ratioOf(ours.map((result, i) => measure(result) / measure(theirs[i] ?? result)));

/** Every workload with so many seeds; the seeds of both policies are the same. */
export const comparePolicies = (seeds: number): Comparison[] =>
	WORKLOADS.flatMap((workload) => {
		const results = (policy: PolicyName): PolicyResult[] => Array.from({ length: seeds }, (_, i) => playPolicy(workload, policy, i + 1));
		const ours = results('pool');
		return (['puller', 'poller'] as const).map((against) => {
			const theirs = results(against);
			const guests = (ours[0]?.guestWaits.length ?? 0) > 0;
			return {
				workload,
				against,
				wait: compare(ours, theirs, (result) => p95(result.waits)),
				makespan: compare(ours, theirs, (result) => result.makespanMs),
				guestWait: guests ? compare(ours, theirs, (result) => p95(result.guestWaits)) : undefined,
			};
		});
	});

const text = ({ median, low, high }: Ratio): string => `${median.toFixed(2)} (${low.toFixed(2)} … ${high.toFixed(2)})`;

/** A table in Markdown. */
export const policyTable = (comparisons: readonly Comparison[]): string[] => [
	'| workload | against a puller that asks | p95 wait | makespan | p95 wait of the small tenant |',
	'| --- | --- | --- | --- | --- |',
	...comparisons.map(({ workload, against, wait, makespan, guestWait }) => {
		const asks = against === 'puller' ? 'at once' : 'every second';
		return `| ${workload.name} | ${asks} | ${text(wait)} | ${text(makespan)} | ${guestWait === undefined ? '' : text(guestWait)} |`;
	}),
];

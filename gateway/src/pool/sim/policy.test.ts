import { describe, expect, it } from 'vitest';
import { comparePolicies, policyTable } from './policy-report.ts';
import { playPolicy } from './policy.ts';
import { WORKLOADS, makeWorkload } from './workloads.ts';

describe('policies', () => {
	it('are given the same machines and arrivals, and make every picture', () => {
		for (const workload of WORKLOADS) {
			const { tasks } = makeWorkload(workload, 3);
			expect(makeWorkload(workload, 3)).toEqual(makeWorkload(workload, 3));
			for (const policy of ['pool', 'puller', 'poller'] as const) {
				const { waits } = playPolicy(workload, policy, 3);
				expect(waits).toHaveLength(tasks.length);
				expect(Math.min(...waits)).toBeGreaterThan(0);
			}
		}
	}, 60_000);

	it('tie where there is nothing to choose, and the pool knows fast from slow and cold from warm', () => {
		const comparisons = comparePolicies(3).filter(({ against }) => against === 'puller');
		const of = (name: string) => comparisons.find(({ workload }) => workload.name === name);
		expect(of('homogeneous')?.wait.median).toBeCloseTo(1, 1);
		expect(of('homogeneous')?.makespan.median).toBeCloseTo(1, 1);
		expect(of('mixed')?.wait.median).toBeLessThan(0.8);
		expect(of('warm-cold')?.wait.median).toBeLessThan(0.9);
		expect(of('crowd')?.guestWait?.median).toBeLessThan(0.2);
		expect(policyTable(comparisons)).toHaveLength(2 + WORKLOADS.length);
	}, 60_000);
});

import { describe, expect, it } from 'vitest';
import { alertPlace, alertWords } from './words.ts';

const JOB = 'job_01m7zw6q4denf9f2tvp54n4hyw00';
const what = (id: string): string => (id === JOB ? 'a red castle' : id);

describe('what an alert says', () => {
	it('names no call of the API and no id', () => {
		const report = { kind: 'report' as const, detail: `Report rep_01jd9x7b4v8k2m5n6p7q8r9s0t … POST /api/v1/images/img_${JOB}_0/takedown` };
		expect(alertWords(report, what)).not.toMatch(/POST|_/);
		const rate = {
			kind: 'error-rate' as const,
			detail: '3 of 5 jobs of the last 15 min failed. See GET /api/v1/jobs?state=failed for why.',
		};
		expect(alertWords(rate, what)).toBe('3 of 5 jobs of the last 15 min failed.');
		expect(alertWords({ kind: 'poison', detail: `Job ${JOB} was given up.` }, what)).toBe('Job “a red castle” was given up.');
	});

	it('leads to where something can be done', () => {
		expect(alertPlace('report')).toBe('/pool/reports');
		expect(alertPlace('poison')).toBeUndefined();
	});
});

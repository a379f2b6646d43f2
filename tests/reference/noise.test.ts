import { expect, test } from 'vitest';
import { readReferenceJson } from './compare.ts';
import { implementation } from './implementation.ts';
import { failed, replayNoise, type NoiseFile } from './replay.ts';

const file = readReferenceJson('noise.json') as NoiseFile;

test("every recorded torch.randn draw is reproduced, and one generator keeps torch's order and cached value", () => {
	expect(file.draws.length).toBeGreaterThanOrEqual(36);
	const checks = replayNoise(implementation, file);
	expect(checks).toHaveLength(2 * file.draws.length + file.sequence.sizes.length);
	expect(checks.filter(failed)).toEqual([]);
	const values = checks.filter((check) => !check.what.startsWith('sum')).map((check) => check.error);
	console.log(`noise: ${file.draws.length} draws and a sequence, largest error ${Math.max(...values).toExponential(2)}`);
});

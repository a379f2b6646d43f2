import type { Model } from '@limner/sdk';
import { expect, it } from 'vitest';
import { addStep, FIRST_STEPS, removeStep, stepProblems, stepsToWorkflow, type Step } from './steps.ts';

const model = (...operations: string[]): Model => ({ operations }) as unknown as Model;
const THREE: Step[] = [
	{ id: 1, prompt: 'a house', strength: 0.5 },
	{ id: 2, prompt: 'in the rain', from: 1, strength: 0.5 },
	{ id: 3, prompt: 'at night', from: 2, strength: 0.4 },
];

it('makes jobs that start from each other’s pictures', () => {
	const { name, jobs } = stepsToWorkflow(THREE, { prompt: '', seed: 4, n: 3 }, ' house ');
	expect(name).toBe('house');
	expect(jobs).toEqual([
		{ key: 'step-1', prompt: 'a house', seed: 4, n: 1 },
		{ key: 'step-2', prompt: 'in the rain', seed: 4, n: 1, task: 'img2img', initImage: { job: 'step-1', index: 0 }, strength: 0.5 },
		{ key: 'step-3', prompt: 'at night', seed: 4, n: 1, task: 'img2img', initImage: { job: 'step-2', index: 0 }, strength: 0.4 },
	]);
});

it('keeps the chain together when a step goes, and continues it when one comes', () => {
	expect(removeStep(THREE, 2).map(({ id, from }) => [id, from])).toEqual([
		[1, undefined],
		[3, 1],
	]);
	expect(removeStep(THREE, 1).map(({ id, from }) => [id, from])).toEqual([
		[2, undefined],
		[3, 2],
	]);
	expect(addStep(THREE).at(-1)).toEqual({ id: 4, prompt: 'at night', from: 3, strength: 0.4 });
});

it('says what is missing', () => {
	expect(stepProblems(FIRST_STEPS, model('txt2img', 'img2img'))).toHaveLength(1);
	expect(stepProblems(THREE, model('txt2img'))).toHaveLength(1);
	expect(stepProblems(THREE, model('txt2img', 'img2img'))).toEqual([]);
	expect(stepProblems(THREE, undefined)).toHaveLength(1);
});

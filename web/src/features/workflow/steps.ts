/**
 * A small workflow as a person composes it: pictures, each from nothing or from an earlier one. Pure.
 * @module
 */
import type { GenerateRequest, Model, WorkflowRequest } from '@limner/sdk';
import { t } from '../../strings.ts';

export interface Step {
	/** Stays with the step when others go. */
	id: number;
	prompt: string;
	/** The step whose picture it starts from. */
	from?: number;
	/** How far it may get away from that picture, 0..1. */
	strength: number;
}

/** Jobs one after the other at most; the gateway refuses more. */
export const MAX_STEPS = 8;
export const FIRST_STEPS: readonly Step[] = [
	{ id: 1, prompt: '', strength: 0.6 },
	{ id: 2, prompt: '', from: 1, strength: 0.6 },
];

/** One more step, from the last one. */
export const addStep = (steps: readonly Step[]): Step[] => {
	const last = steps.at(-1);
	const id = Math.max(0, ...steps.map((step) => step.id)) + 1;
	return [...steps, { id, prompt: last?.prompt ?? '', strength: last?.strength ?? 0.6, ...(last === undefined ? {} : { from: last.id }) }];
};

/** Without a step; what started from it starts from where that one did. */
export const removeStep = (steps: readonly Step[], id: number): Step[] => {
	const gone = steps.find((step) => step.id === id);
	return steps
		.filter((step) => step.id !== id)
		.map((step) => {
			if (step.from !== id) return step;
			const { from: _from, ...rest } = step;
			return gone?.from === undefined ? rest : { ...rest, from: gone.from };
		});
};

/** Every reason why it cannot start yet. */
export const stepProblems = (steps: readonly Step[], model: Model | undefined): string[] => {
	const found: string[] = [];
	if (steps.some(({ prompt }) => prompt.trim() === '')) found.push(t.workflow.why.prompt);
	if (model === undefined) found.push(t.workflow.why.model);
	else if (steps.some(({ from }) => from !== undefined) && !model.operations.includes('img2img')) found.push(t.workflow.why.from);
	return found;
};

/** The steps as a workflow; what a step does not say itself comes from `base`. */
export const stepsToWorkflow = (steps: readonly Step[], base: GenerateRequest, name: string): WorkflowRequest => {
	const key = (id: number): string => `step-${steps.findIndex((step) => step.id === id) + 1}`;
	const trimmed = name.trim();
	return {
		...(trimmed === '' ? {} : { name: trimmed.slice(0, 200) }),
		jobs: steps.map(({ id, prompt, from, strength }) => ({
			...base,
			prompt: prompt.trim(),
			n: 1,
			key: key(id),
			...(from === undefined ? {} : { task: 'img2img' as const, initImage: { job: key(from), index: 0 }, strength }),
		})) as WorkflowRequest['jobs'],
	};
};

/** The files of a model folder cannot be used as they are. The message is one plain sentence: which file, and what to do. */
export class ModelFolderError extends Error {
	override readonly name = 'ModelFolderError';
}

/** The request asks for something this model or pipeline cannot do. Retrying the same request never helps. */
export class InvalidRequestError extends Error {
	override readonly name = 'InvalidRequestError';
}

/** `isCancelled()` answered true between two steps. */
export class CancelledError extends Error {
	override readonly name = 'CancelledError';
	constructor(step: number, steps: number) {
		super(`Cancelled after step ${step} of ${steps}.`);
	}
}

/** Inference itself failed (a native error, or numbers that are not finite). Another device may succeed. */
export class InferenceError extends Error {
	override readonly name = 'InferenceError';
}

const MEMORY_WORDS = /bad_alloc|out of memory|failed to allocate|allocation failed|cudaErrorMemoryAllocation|Array buffer allocation/i;

/** Whether an error says that memory ran out, on the device or in this process. */
export function isOutOfMemory(error: unknown): boolean {
	return MEMORY_WORDS.test(error instanceof Error ? error.message : String(error));
}

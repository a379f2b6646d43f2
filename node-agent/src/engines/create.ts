/**
 * Makes the engine that a slot was configured with. The description is plain data, so that it can cross to a child
 * process.
 * @module
 */
import { createMockEngine, type MockOptions } from './mock/engine.ts';
import type { OnnxOptions } from './onnx/engine.ts';
import type { Engine } from './types.ts';

export type EngineConfig = { kind: 'mock'; options: MockOptions } | { kind: 'onnx'; options: OnnxOptions };

export const createEngine = async (config: EngineConfig): Promise<Engine> => {
	if (config.kind === 'mock') return createMockEngine(config.options);
	// Loaded only where it is used: the native library takes time and memory.
	const { createOnnxEngine } = await import('./onnx/engine.ts');
	return createOnnxEngine(config.options);
};

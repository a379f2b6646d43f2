/**
 * React hooks for a Limner gateway.
 * @module
 */
export { LimnerProvider, useLimner } from './context.ts';
export { useGallery, type UseGallery } from './use-gallery.ts';
export { useGeneration, type GenerationState, type UseGeneration, type UseGenerationOptions } from './use-generation.ts';
export { useNodes, type UseNodesOptions } from './use-nodes.ts';
export { usePolled, type Polled } from './use-polled.ts';

/**
 * What a node says about a model and what the pool says about it to callers.
 * @module
 */
import { z } from 'zod';
import { NODE_LIMITS, REQUEST_LIMITS } from './limits.ts';

export const Operation = z.enum(['txt2img', 'img2img', 'inpaint']);
export type Operation = z.infer<typeof Operation>;

export const ModelName = z
	.string()
	.min(1)
	.max(REQUEST_LIMITS.modelNameChars)
	.regex(/^[\w][\w.\-/@+]*$/, 'letters, digits and . _ - / @ + only')
	// A name becomes a path below a models folder: a part that climbs out of it must not come this far.
	.refine((name) => name.split('/').every((part) => !['', '.', '..'].includes(part)), 'must not have empty parts, . or .. between slashes');

/** A model as a node offers it in its `hello`. */
export const ModelInfo = z.looseObject({
	name: ModelName,
	/** Hash over the files, so that two nodes with one name and different weights can be told apart. */
	sha256: z.string().regex(/^[0-9a-f]{64}$/),
	family: z.string().max(NODE_LIMITS.nameChars),
	bytes: z.number().int().nonnegative(),
	operations: z.array(Operation).min(1),
	nativeWidth: z.number().int(),
	nativeHeight: z.number().int(),
	/** Sizes must be a multiple of this many pixels: 8, or 16 for SD3. */
	sizeMultiple: z.number().int().default(8),
	defaults: z.looseObject({
		steps: z.number().int(),
		guidance: z.number(),
		scheduler: z.string(),
	}),
	/** What the model was trained to draw, in words a user understands. */
	scope: z.string().max(2000).optional(),
	displayName: z.string().max(200).optional(),
	licence: z.string().max(200).optional(),
	/** Loaded in some slot of this node right now. */
	warm: z.boolean().optional(),
	/** Where it was pulled from, `owner/name@commit`: other nodes can fetch it there. */
	source: z.string().max(400).optional(),
});
export type ModelInfo = z.infer<typeof ModelInfo>;

/** A model as `GET /api/v1/models` lists it: what the pool can make now. */
export const ModelView = z.object({
	name: z.string(),
	displayName: z.string(),
	family: z.string(),
	operations: z.array(Operation),
	nativeWidth: z.int(),
	nativeHeight: z.int(),
	sizeMultiple: z.int(),
	defaults: z.object({ steps: z.int(), guidance: z.number(), scheduler: z.string() }),
	scope: z.string().optional(),
	licence: z.string().optional(),
	/** Online, active nodes that hold it. 0 = known, but nobody offers it now. */
	nodes: z.int(),
	warm: z.boolean(),
	/** The model used when a request names none. */
	isDefault: z.boolean(),
});
export type ModelView = z.infer<typeof ModelView>;

/**
 * Settings of a Workspace, read from the Worker's variables. A bad value is an error in words, at the first call.
 * @module
 */
import { WorkspaceLimits } from '@limner/shared';
import { parseDuration } from '../lib/duration.ts';
import { parseShards } from '../lib/rendezvous.ts';

export interface WorkspaceConfig {
	shards: number;
	/** Pictures are deleted this long after their job finished; the job itself after twice as long. */
	resultTtlMs: number;
	/** Open jobs that a workspace may have. */
	maxQueueDepth: number;
	/** SHA-256 (hex) of the first key; `null` when none is configured. */
	bootstrapHash: string | null;
	/** Limits of a workspace that has none of its own. */
	defaultLimits: WorkspaceLimits;
}

/** @throws {RangeError} */
const parseLimits = (text: string): WorkspaceLimits => {
	if (text.trim() === '') return {};
	try {
		return WorkspaceLimits.parse(JSON.parse(text));
	} catch (error) {
		throw new RangeError(`DEFAULT_LIMITS is not limits as JSON: ${error instanceof Error ? error.message : 'unreadable'}`, {
			cause: error,
		});
	}
};

const MAX_QUEUE_DEPTH_CEILING = 1_000_000;

/** @throws {RangeError} with a sentence that names the variable, its value and what is allowed */
export const workspaceConfig = (
	env: Record<'SHARDS' | 'RESULT_TTL' | 'MAX_QUEUE_DEPTH' | 'BOOTSTRAP_KEY_SHA256', string> & { DEFAULT_LIMITS?: string },
): WorkspaceConfig => {
	const depth = /^\d{1,7}$/.test(env.MAX_QUEUE_DEPTH.trim()) ? Number(env.MAX_QUEUE_DEPTH) : 0;
	if (depth < 1 || depth > MAX_QUEUE_DEPTH_CEILING) {
		throw new RangeError(
			`MAX_QUEUE_DEPTH is ${JSON.stringify(env.MAX_QUEUE_DEPTH)}: write a whole number from 1 to ${MAX_QUEUE_DEPTH_CEILING}`,
		);
	}
	const bootstrap = env.BOOTSTRAP_KEY_SHA256.trim().toLowerCase();
	if (bootstrap !== '' && !/^[0-9a-f]{64}$/.test(bootstrap)) {
		throw new RangeError('BOOTSTRAP_KEY_SHA256 is not a SHA-256 in hex: write 64 hexadecimal digits, or leave it empty');
	}
	return {
		shards: parseShards(env.SHARDS),
		resultTtlMs: parseDuration(env.RESULT_TTL, 'RESULT_TTL'),
		maxQueueDepth: depth,
		bootstrapHash: bootstrap === '' ? null : bootstrap,
		defaultLimits: parseLimits(env.DEFAULT_LIMITS ?? ''),
	};
};

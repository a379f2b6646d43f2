/**
 * Which tool is in the hand, and its keys.
 * @module
 */
export type Tool = 'brush' | 'eraser' | 'lasso' | 'rectangle';

export interface Tools {
	tool: Tool;
	/** Diameter in pixels of the picture. */
	size: number;
	/** 0 = hard edge, 1 = soft to the middle. */
	softness: number;
	/** Of the mark over the picture. */
	opacity: number;
	/** Pixels over which the result fades into the source. */
	feather: number;
}

export const DEFAULT_TOOLS: Tools = { tool: 'brush', size: 24, softness: 0, opacity: 0.55, feather: 0 };
export const MIN_SIZE = 1;
export const MAX_SIZE = 256;

export type Command = { tools: Partial<Tools> } | { history: 'undo' | 'redo' } | undefined;

const KEYS: Record<string, Tool> = { b: 'brush', e: 'eraser', l: 'lasso', r: 'rectangle' };

interface Key {
	key: string;
	ctrlKey: boolean;
	metaKey: boolean;
	shiftKey: boolean;
}

/** What a key does: B, E, L, R, [ and ], Ctrl+Z, Ctrl+Shift+Z and Ctrl+Y. */
export const commandOf = ({ key, ctrlKey, metaKey, shiftKey }: Key, tools: Tools): Command => {
	const lower = key.toLowerCase();
	if (ctrlKey || metaKey) {
		if (lower === 'z') return { history: shiftKey ? 'redo' : 'undo' };
		return lower === 'y' ? { history: 'redo' } : undefined;
	}
	const tool = KEYS[lower];
	if (tool !== undefined) return { tools: { tool } };
	if (key === '[') return { tools: { size: Math.max(MIN_SIZE, Math.floor(tools.size / 1.25)) } };
	if (key === ']') return { tools: { size: Math.min(MAX_SIZE, Math.ceil(tools.size * 1.25)) } };
	return undefined;
};

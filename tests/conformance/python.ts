/**
 * The Python node's environment.
 * @module
 */
import { fileURLToPath } from 'node:url';
import { pythonVenv } from '../lib/venv.ts';

/** The interpreter with what the node needs, or a sentence that says why there is none. */
export const pythonForNode = (): { python: string } | { problem: string } =>
	pythonVenv('limner-conformance', fileURLToPath(new URL('./requirements.txt', import.meta.url)), 'import websockets, cryptography');

export const NODE_PY = fileURLToPath(new URL('./node.py', import.meta.url));

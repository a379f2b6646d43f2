/**
 * The Python node's environment: a venv in node_modules/.cache, made once.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';

const CHECK = 'import websockets, cryptography';

const succeeds = (command: string, ...args: string[]): boolean =>
	spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] }).status === 0;

/** The interpreter with what the node needs, or a sentence that says why there is none. */
export const pythonForNode = (): { python: string } | { problem: string } => {
	const venv = join(projectRoot(), 'node_modules/.cache/limner-conformance/venv');
	const python = join(venv, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
	const ready = (): boolean => existsSync(python) && spawnSync(python, ['-c', CHECK], { stdio: 'ignore' }).status === 0;
	if (ready()) return { python };
	if (!existsSync(python) && !succeeds(process.platform === 'win32' ? 'python' : 'python3', '-m', 'venv', venv))
		return { problem: 'python3 with venv is needed for the node in tests/conformance' };
	const requirements = fileURLToPath(new URL('./requirements.txt', import.meta.url));
	if (!succeeds(python, '-m', 'pip', 'install', '-q', '--disable-pip-version-check', '-r', requirements) || !ready())
		return { problem: `pip could not install ${requirements}` };
	return { python };
};

export const NODE_PY = fileURLToPath(new URL('./node.py', import.meta.url));

/**
 * Python environments of tests: venvs in node_modules/.cache, made once.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';

const succeeds = (command: string, ...args: string[]): boolean =>
	spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] }).status === 0;

/**
 * The interpreter of a venv in which `check` (an import statement) works, or a sentence that says why there is none.
 * @param name folder below node_modules/.cache
 * @param requirements path of a requirements.txt
 */
export const pythonVenv = (name: string, requirements: string, check: string): { python: string } | { problem: string } => {
	const venv = join(projectRoot(), 'node_modules/.cache', name, 'venv');
	const python = join(venv, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
	const ready = (): boolean => existsSync(python) && spawnSync(python, ['-c', check], { stdio: 'ignore' }).status === 0;
	if (ready()) return { python };
	if (!existsSync(python) && !succeeds(process.platform === 'win32' ? 'python' : 'python3', '-m', 'venv', venv))
		return { problem: 'python3 with venv is needed for this test' };
	if (!succeeds(python, '-m', 'pip', 'install', '-q', '--disable-pip-version-check', '-r', requirements) || !ready())
		return { problem: `pip could not install ${requirements}` };
	return { python };
};

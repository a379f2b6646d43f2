/**
 * Runs the command line inside a test.
 * @module
 */
import { join } from 'node:path';
import { vi } from 'vitest';

export interface Ran {
	code: number;
	out: string;
	err: string;
}
/** Runs the command line in a folder of the test's own, without the settings of whoever runs the tests. */
export const runLimner = async (folder: string, args: readonly string[], env: Record<string, string>): Promise<Ran> => {
	for (const name of Object.keys(process.env).filter((key) => /^(LIMNER_|PORT$)/.test(key))) vi.stubEnv(name, undefined);
	const folders = { INIT_CWD: folder, XDG_CONFIG_HOME: join(folder, '.config'), XDG_STATE_HOME: join(folder, '.state') };
	for (const [name, value] of Object.entries({ ...folders, ...env })) vi.stubEnv(name, value);
	const texts = { out: '', err: '' };
	const into = (name: 'out' | 'err', end: string) => (text: unknown) => {
		texts[name] += `${String(text)}${end}`;
		return true;
	};
	vi.spyOn(console, 'log').mockImplementation(into('out', '\n'));
	vi.spyOn(console, 'error').mockImplementation((error: unknown) => into('err', '\n')(error instanceof Error ? error.stack : error));
	vi.spyOn(process.stderr, 'write').mockImplementation(into('err', ''));
	vi.spyOn(process.stdout, 'write').mockImplementation(into('out', ''));
	// Settings are read once a process; each call stands for a process of its own.
	vi.resetModules();
	try {
		const { run } = await import('./main.ts');
		const code = (await run(args)) ?? 0;
		return { code, ...texts };
	} finally {
		vi.restoreAllMocks();
		vi.unstubAllEnvs();
	}
};

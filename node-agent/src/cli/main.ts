#!/usr/bin/env node
/**
 * The command `limner`. Mistakes of the user end in one sentence and exit code 1, wrong usage in exit code 2.
 * @module
 */
import { LIMNER_VERSION } from '@limner/shared';
import { Command, CommanderError } from 'commander';
import { exportGatewaySettings } from '../config/settings.ts';
import { errorCode, EXIT, messageOf, UserError } from '../lib/user-error.ts';
import { registerAudit } from './audit/command.ts';
import { registerBackup } from './backup/command.ts';
import { registerConfig } from './config.ts';
import { registerDemo } from './demo/command.ts';
import { registerDoctor } from './doctor.ts';
import { registerGenerate } from './generate.ts';
import { registerGpu } from './gpu.ts';
import { registerKeys } from './keys.ts';
import { registerLogin } from './login.ts';
import { registerMcp } from './mcp/command.ts';
import { registerModels } from './models.ts';
import { registerNode } from './node.ts';
import { registerPrune } from './prune.ts';
import { registerSubmit } from './submit.ts';
import { registerUp } from './up/command.ts';

const REGISTER = [
	registerUp,
	registerDemo,
	registerNode,
	registerGenerate,
	registerSubmit,
	registerLogin,
	registerDoctor,
	registerGpu,
	registerMcp,
	registerModels,
	registerConfig,
	registerPrune,
	registerKeys,
	registerAudit,
	registerBackup,
];

/** The whole command tree. Commands throw; nothing in them ends the process on a mistake. */
export const buildProgram = (): Command => {
	const program = new Command('limner')
		.description('one image service out of many machines')
		.version(LIMNER_VERSION)
		.showHelpAfterError('(see --help)')
		// One voice for all mistakes; subcommands inherit this and the override.
		.configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'limner: ')) })
		.exitOverride();
	for (const register of REGISTER) register(program);
	return program;
};

const SYSTEM_SENTENCES: Readonly<Record<string, string>> = {
	ENOSPC: 'The disk is full; free some room and run the command again.',
	EDQUOT: 'Your disk quota is used up; free some room and run the command again.',
	EROFS: 'The disk can only be read; run the command where files can be written.',
	EACCES: 'A file or folder may not be written or read by you; change its owner or permissions',
	EPERM: 'The system does not permit that; run the command as the owner of the files',
	EMFILE: 'Too many files are open; raise the limit with `ulimit -n` and run the command again.',
};

/** The sentence and exit code for anything that a command threw. */
export const explain = (error: unknown): { sentence: string; code: number } => {
	if (error instanceof UserError) return { sentence: error.message, code: error.exitCode };
	const known = SYSTEM_SENTENCES[errorCode(error) ?? ''];
	// Those without a full stop need the path, which the system's message names.
	if (known !== undefined) return { sentence: known.endsWith('.') ? known : `${known} (${messageOf(error)}).`, code: EXIT.failed };
	return {
		sentence: `Something went wrong that should not: ${messageOf(error)}; run it again with LIMNER_DEBUG=1 and report what it prints.`,
		code: EXIT.failed,
	};
};

/** Commands that start a gateway, which reads its settings from the environment. */
const GATEWAY_COMMANDS: ReadonlySet<string> = new Set(['up', 'demo']);

const debug = (): boolean => process.env['LIMNER_DEBUG'] === '1';

/** Runs the command line; answers the exit code, or nothing while a command goes on. */
export const run = async (argv: readonly string[]): Promise<number | undefined> => {
	try {
		if (GATEWAY_COMMANDS.has(argv[0] ?? '')) exportGatewaySettings();
		await buildProgram().parseAsync([...argv], { from: 'user' });
		return undefined;
	} catch (error) {
		// Commander has printed its message already; help and version are no mistakes.
		if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
		const { sentence, code } = explain(error);
		console.error(`limner: ${sentence}`);
		if (debug()) console.error(error);
		return code;
	}
};

if (import.meta.main) {
	process.on('uncaughtException', (error) => {
		const { sentence, code } = explain(error);
		console.error(`limner: ${sentence}`);
		if (debug()) console.error(error);
		process.exit(code);
	});
	const code = await run(process.argv.slice(2));
	if (code !== undefined) process.exit(code);
}

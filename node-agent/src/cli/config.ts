/**
 * `limner config`: the settings that apply here, and where each comes from.
 * @module
 */
import type { Command } from 'commander';
import { ENVIRONMENT, mergeSettings, SECRETS, settingSources, settingText, type EffectiveSetting } from '../config/settings.ts';

const SHOWN_CHARS = 8;

/** A secret's beginning, enough to tell two apart. */
export const mask = (secret: string): string => (secret.length <= SHOWN_CHARS * 2 ? '•••' : `${secret.slice(0, SHOWN_CHARS)}•••`);

const shown = ({ key, value }: EffectiveSetting): string => {
	if (value === undefined) return '(not set)';
	if (SECRETS.has(key)) return mask(settingText(value));
	return settingText(value);
};

/** The table that is printed. */
export const configTable = (effective: readonly EffectiveSetting[]): string => {
	const rows = effective.map((setting) => [
		setting.key,
		ENVIRONMENT[setting.key],
		shown(setting),
		setting.value === undefined ? '' : setting.origin,
	]);
	const all = [['setting', 'environment', 'value', 'from'], ...rows];
	const widths = [0, 1, 2].map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
	return all
		.map((row) =>
			row
				.map((cell, column) => cell.padEnd(widths[column] ?? 0))
				.join('  ')
				.trimEnd(),
		)
		.join('\n');
};

const config = (flags: { json?: boolean }): void => {
	const { effective } = mergeSettings(settingSources());
	if (flags.json === true) {
		const plain = effective.map((setting) => ({
			key: setting.key,
			environment: ENVIRONMENT[setting.key],
			value: setting.value === undefined ? null : shown(setting),
			from: setting.origin,
		}));
		console.log(JSON.stringify(plain, null, '\t'));
	} else console.log(configTable(effective));
};

export const registerConfig = (program: Command): void => {
	program.command('config').description('show the settings that apply, with secrets masked').option('--json', 'as JSON').action(config);
};

/**
 * What a browser calls itself, in two words. Pure.
 * @module
 */

/** The first that fits counts: others name themselves after it. */
const BROWSERS: readonly (readonly [RegExp, string])[] = [
	[/Edg\//, 'Edge'],
	[/OPR\//, 'Opera'],
	[/Firefox\//, 'Firefox'],
	[/HeadlessChrome\/|Chrome\/|Chromium\//, 'Chrome'],
	[/Safari\//, 'Safari'],
	[/limner/i, 'Limner'],
	[/curl\//, 'curl'],
	[/^node$|Node\.js/i, 'Node.js'],
];
const SYSTEMS: readonly (readonly [RegExp, string])[] = [
	[/iPhone|iPad/, 'iOS'],
	[/Android/, 'Android'],
	[/Windows/, 'Windows'],
	[/Mac OS X|Macintosh/, 'macOS'],
	[/Linux/, 'Linux'],
];

const find = (list: readonly (readonly [RegExp, string])[], text: string): string | undefined =>
	list.find(([pattern]) => pattern.test(text))?.[1];

/** `Firefox on Linux`; what is not known stays as it is, cut short. */
export const agentWords = (agent: string, unknown: string): string => {
	const [browser, system] = [find(BROWSERS, agent), find(SYSTEMS, agent)];
	if (browser === undefined) return agent === '' ? unknown : agent.slice(0, 60);
	return system === undefined ? browser : `${browser} on ${system}`;
};

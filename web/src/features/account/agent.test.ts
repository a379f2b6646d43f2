import { expect, it } from 'vitest';
import { agentWords } from './agent.ts';

const CHROME = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36';

it.each([
	[CHROME, 'Chrome on Linux'],
	[`${CHROME} Edg/142.0.0.0`, 'Edge on Linux'],
	['Mozilla/5.0 (Windows NT 10.0; rv:144.0) Gecko/20100101 Firefox/144.0', 'Firefox on Windows'],
	[
		'Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1',
		'Safari on iOS',
	],
	['limner-cli/0.1', 'Limner'],
	['node', 'Node.js'],
	['something else', 'something else'],
	['', 'somewhere'],
])('%s', (agent, words) => {
	expect(agentWords(agent, 'somewhere')).toBe(words);
});

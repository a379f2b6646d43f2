/**
 * Known vulnerabilities in what is shipped, asked of the package registry. High and critical ones fail; a registry that
 * does not answer does not, because a build must not depend on it.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PNPM = 'pnpm@12.21.0';
const TIMEOUT_MS = 120_000;
const FAILING: readonly string[] = ['high', 'critical'];

interface Advisory {
	module_name?: string;
	severity?: string;
	title?: string;
	url?: string;
	patched_versions?: string;
}

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const ran = spawnSync('npx', ['-y', PNPM, 'audit', '--prod', '--json'], { cwd: root, encoding: 'utf8', timeout: TIMEOUT_MS });

const read = (): Advisory[] | undefined => {
	try {
		const answer = JSON.parse(ran.stdout) as { advisories?: Record<string, Advisory>; error?: unknown };
		return answer.error === undefined && answer.advisories !== undefined ? Object.values(answer.advisories) : undefined;
	} catch {
		return undefined;
	}
};

const advisories = read();
if (advisories === undefined) {
	console.log('limner: dependencies were NOT audited: the registry did not answer.');
	process.exit(0);
}
for (const { severity = '?', module_name = '?', title = '', url = '', patched_versions = '?' } of advisories) {
	console.log(`${severity}  ${module_name}  ${title}  (fixed in ${patched_versions})  ${url}`);
}
const bad = advisories.filter(({ severity = '' }) => FAILING.includes(severity));
console.log(`limner: ${advisories.length} known vulnerabilities in what is shipped, ${bad.length} of them high or critical.`);
process.exit(bad.length > 0 ? 1 : 0);

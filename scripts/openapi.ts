/**
 * Writes docs/openapi.json from the route table; with --check it compares instead, so that the document cannot lie.
 * @module
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const file = join(root, 'docs/openapi.json');
// In a process of its own, because the gateway's sources are typed for Workers, not for Node.
const printed = execFileSync(process.execPath, [join(root, 'gateway/src/openapi-document.ts')], {
	encoding: 'utf8',
	maxBuffer: 64 * 1024 ** 2,
});
const wanted = `${JSON.stringify(JSON.parse(printed), null, '\t')}\n`;
if (process.argv.includes('--check')) {
	let have = '';
	try {
		have = readFileSync(file, 'utf8');
	} catch {
		// Missing counts as different.
	}
	if (have !== wanted) {
		console.error('limner: docs/openapi.json is not what the routes say; run `node scripts/bootstrap.mjs openapi` and commit it.');
		process.exit(1);
	}
} else {
	writeFileSync(file, wanted);
	console.log(`wrote ${file}`);
}

/**
 * Writes docs/openapi.json from the route table and sdk/src/schema.ts from it; with --check it compares instead, so that
 * neither can lie.
 * @module
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { schemaText } from '../sdk/scripts/generate.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
// In a process of its own, because the gateway's sources are typed for Workers, not for Node.
const printed = execFileSync(process.execPath, [join(root, 'gateway/src/openapi-document.ts')], {
	encoding: 'utf8',
	maxBuffer: 64 * 1024 ** 2,
});
const document = `${JSON.stringify(JSON.parse(printed), null, '\t')}\n`;

const have = (file: string): string => {
	try {
		return readFileSync(join(root, file), 'utf8');
	} catch {
		// Missing counts as different.
		return '';
	}
};

for (const [file, wanted] of [
	['docs/openapi.json', document],
	['sdk/src/schema.ts', await schemaText(document)],
] as const) {
	if (!process.argv.includes('--check')) {
		writeFileSync(join(root, file), wanted);
		console.log(`wrote ${file}`);
	} else if (have(file) !== wanted) {
		console.error(`limner: ${file} is not what the routes say; run \`node scripts/bootstrap.mjs openapi\` and commit it.`);
		process.exitCode = 1;
	}
}

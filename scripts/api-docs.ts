/**
 * Writes docs/api.md, docs/errors.md and docs/postman.json from docs/openapi.json and the table of problems; with
 * --check it compares instead.
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './api/document.ts';
import { apiPage, errorsPage } from './api/pages.ts';
import { collection } from './api/postman.ts';

const FILES: Record<string, () => string> = { 'api.md': apiPage, 'errors.md': errorsPage, 'postman.json': collection };

const have = (file: string): string => {
	try {
		return readFileSync(file, 'utf8');
	} catch {
		// Missing counts as different.
		return '';
	}
};

let stale = false;
for (const [name, make] of Object.entries(FILES)) {
	const file = join(ROOT, 'docs', name);
	const wanted = make();
	if (!process.argv.includes('--check')) writeFileSync(file, wanted);
	else if (have(file) !== wanted) {
		console.error(`limner: docs/${name} is not what the API says; run \`npm run openapi\` and commit it.`);
		stale = true;
	}
}
process.exit(stale ? 1 : 0);

/**
 * Builds the gateway as a deploy would, prints size and hash of the bundle, and fails above the budget: a Worker must
 * start within a second, and what grows unseen is dependencies.
 * @module
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { buildGateway } from '../node-agent/src/cli/up/bundle.ts';

const GZIP_BUDGET_BYTES = 400 * 1024;

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const bundle = await buildGateway(root);
const bytes = readFileSync(bundle.file);
const gzipped = gzipSync(bytes).length;
const kib = (value: number): string => `${(value / 1024).toFixed(0)} KiB`;
console.log(`gateway bundle: ${kib(bytes.length)}, ${kib(gzipped)} gzipped (budget ${kib(GZIP_BUDGET_BYTES)}), sha256 ${bundle.sha256}`);
if (gzipped > GZIP_BUDGET_BYTES) {
	console.error('limner: the bundle is over its budget; find what grew with `npx wrangler deploy --dry-run --outdir dist --metafile`.');
	process.exit(1);
}

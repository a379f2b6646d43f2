/**
 * Writes `limner.mcpb`, the stdio MCP server as a bundle that hosts install: `node scripts/mcpb.ts [FOLDER]`.
 * @module
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LIMNER_VERSION, MCP_TOOLS } from '@limner/shared';
import { build } from 'esbuild';
import { strToU8, zipSync } from 'fflate';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const ENTRY = 'server/index.mjs';

/** Manifest of the bundle (MCPB 0.3). */
export const manifest = (): object => ({
	manifest_version: '0.3',
	name: 'limner',
	display_name: 'Limner',
	version: LIMNER_VERSION,
	description: 'Makes pictures on a pool of machines that you run or share',
	author: { name: 'The Limner authors' },
	license: 'Apache-2.0',
	server: {
		type: 'node',
		entry_point: ENTRY,
		mcp_config: {
			command: 'node',
			args: [`\${__dirname}/${ENTRY}`],
			env: { LIMNER_URL: '${user_config.url}', LIMNER_API_KEY: '${user_config.api_key}' },
		},
	},
	tools: Object.entries(MCP_TOOLS).map(([name, { description }]) => ({ name, description })),
	user_config: {
		url: { type: 'string', title: 'Gateway', description: 'Where the gateway answers', default: 'http://127.0.0.1:8787', required: true },
		api_key: { type: 'string', title: 'API key', description: 'A key of your workspace (lk_…)', sensitive: true, required: true },
	},
	compatibility: { platforms: ['darwin', 'win32', 'linux'], runtimes: { node: '>=20.20.0' } },
});

/** The server and all that it needs, as one module. */
const bundleServer = async (): Promise<Uint8Array> => {
	const { outputFiles } = await build({
		entryPoints: [join(ROOT, 'node-agent/src/mcp/main.ts')],
		bundle: true,
		write: false,
		platform: 'node',
		target: 'node20',
		format: 'esm',
		minify: true,
		keepNames: true,
		// Older versions of Node do not know it, and here it is always so.
		define: { 'import.meta.main': 'true' },
		logLevel: 'error',
	});
	const [file] = outputFiles;
	if (file === undefined) throw new Error('esbuild wrote nothing');
	return file.contents;
};

/** Writes the bundle into a folder; answers its path. */
export const writeMcpb = async (folder: string): Promise<string> => {
	const bytes = zipSync({
		'manifest.json': strToU8(`${JSON.stringify(manifest(), null, '\t')}\n`),
		[ENTRY]: await bundleServer(),
		LICENSE: readFileSync(join(ROOT, 'LICENSE')),
	});
	mkdirSync(folder, { recursive: true });
	const file = join(resolve(folder), 'limner.mcpb');
	writeFileSync(file, bytes);
	return file;
};

if (import.meta.main) console.log(await writeMcpb(process.argv[2] ?? '.'));

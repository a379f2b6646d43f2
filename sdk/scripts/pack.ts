/**
 * Builds the package as it is published: `node sdk/scripts/pack.ts [FOLDER]` writes the tarball there.
 * @module
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const SDK = join(dirname(fileURLToPath(import.meta.url)), '..');

interface Manifest {
	publishConfig: Record<string, unknown>;
	scripts?: unknown;
	devDependencies?: unknown;
	[key: string]: unknown;
}

/** The manifest that is published: the built files instead of the sources, nothing that only the workspace needs. */
export const publishedManifest = ({ publishConfig, scripts: _scripts, devDependencies: _dev, ...manifest }: Manifest): object => {
	const { access, ...fields } = publishConfig;
	return { ...manifest, ...fields, publishConfig: { access } };
};

/** Builds and packs; answers the tarball's path. */
export const packSdk = (folder: string): string => {
	const stage = mkdtempSync(join(tmpdir(), 'limner-sdk-'));
	try {
		const tsc = join(SDK, '../node_modules/.bin/tsc');
		execFileSync(tsc, ['-p', join(SDK, 'tsconfig.build.json'), '--outDir', join(stage, 'dist')], { stdio: ['ignore', 2, 2] });
		const manifest = JSON.parse(readFileSync(join(SDK, 'package.json'), 'utf8')) as Manifest;
		writeFileSync(join(stage, 'package.json'), `${JSON.stringify(publishedManifest(manifest), null, '\t')}\n`);
		cpSync(join(SDK, '../docs/sdk.md'), join(stage, 'README.md'));
		cpSync(join(SDK, '../LICENSE'), join(stage, 'LICENSE'));
		const printed = execFileSync('npm', ['pack', '--json', '--pack-destination', resolve(folder)], { cwd: stage, encoding: 'utf8' });
		const [packed] = JSON.parse(printed) as [{ filename: string }];
		return join(resolve(folder), packed.filename);
	} finally {
		rmSync(stage, { recursive: true, force: true });
	}
};

if (import.meta.main) console.log(packSdk(process.argv[2] ?? '.'));

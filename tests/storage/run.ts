/**
 * `npm run test:storage`: the storage port's contract in workerd, on R2's binding and on an S3 server, and direct uploads
 * through a whole system. Makes itself a Python environment for the server.
 * @module
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { startS3 } from '../lib/s3.ts';

const s3 = await startS3();
const given = process.argv.slice(2);
const paths = given.some((word) => !word.startsWith('-')) ? [] : ['gateway/test/storage', 'tests/storage'];
const args = ['run', '--root', projectRoot(), '--project', 'workerd', '--project', 'storage', ...paths, ...given];
const child = spawn(join(projectRoot(), 'node_modules/.bin/vitest'), args, {
	stdio: 'inherit',
	env: { ...process.env, LIMNER_TEST_MORE: 'storage', LIMNER_TEST_S3: JSON.stringify(s3.vars) },
});
process.on('SIGTERM', () => child.kill('SIGTERM'));
const code = await new Promise<number>((resolve) => child.once('exit', (exit) => resolve(exit ?? 1)));
s3.stop();
process.exitCode = code;

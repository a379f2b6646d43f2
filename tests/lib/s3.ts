/**
 * A real S3 server for tests (tests/storage/s3.py), as a process of its own.
 * @module
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { pythonVenv } from './venv.ts';

export interface S3Request {
	method: string;
	path: string;
	status: number;
	presigned: boolean;
}

export interface TestS3 {
	/** Variables of a gateway that keeps its objects there. */
	vars: Record<'S3_ENDPOINT' | 'S3_BUCKET' | 'S3_REGION' | 'S3_ACCESS_KEY_ID' | 'S3_SECRET_ACCESS_KEY', string>;
	log: () => Promise<S3Request[]>;
	stop: () => void;
}

const BUCKET = 'limner-test';
const ACCESS_KEY = 'AKIATEST';
const SECRET = 'a/secret+of/tests';
const REGION = 'eu-central-1';

/** @throws when Python or PyPI are missing */
export const startS3 = async (): Promise<TestS3> => {
	const requirements = fileURLToPath(new URL('../storage/requirements.txt', import.meta.url));
	const environment = pythonVenv('limner-s3', requirements, 'import moto.server, botocore');
	if ('problem' in environment) throw new Error(environment.problem);
	const script = fileURLToPath(new URL('../storage/s3.py', import.meta.url));
	const child = spawn(environment.python, [script, BUCKET, ACCESS_KEY, SECRET, REGION], { stdio: ['pipe', 'pipe', 'inherit'] });
	const url = await new Promise<string>((resolve, reject) => {
		let text = '';
		child.once('exit', (code) => reject(new Error(`the S3 server ended with code ${code}`)));
		child.stdout.on('data', (chunk) => {
			text += String(chunk);
			if (text.includes('\n')) resolve((JSON.parse(text) as { url: string }).url);
		});
	});
	return {
		vars: { S3_ENDPOINT: url, S3_BUCKET: BUCKET, S3_REGION: REGION, S3_ACCESS_KEY_ID: ACCESS_KEY, S3_SECRET_ACCESS_KEY: SECRET },
		log: async () => (await (await fetch(`${url}/-/log`)).json()) as S3Request[],
		// It ends with its standard input, also when this process is killed.
		stop: () => child.stdin.end(),
	};
};

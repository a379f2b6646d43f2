/**
 * Settings of an S3 endpoint. Pure.
 * @module
 */
import { StorageError } from '../port.ts';

export interface S3Config {
	/** Without a trailing slash; objects are addressed by path: `<endpoint>/<bucket>/<key>`. */
	endpoint: string;
	bucket: string;
	region: string;
	accessKeyId: string;
	secretAccessKey: string;
}

/** The Worker's variables that matter here. The secret is not in wrangler.toml, so it may be absent. */
export interface S3Variables {
	S3_ENDPOINT: string;
	S3_BUCKET: string;
	S3_REGION: string;
	S3_ACCESS_KEY_ID: string;
	S3_SECRET_ACCESS_KEY?: string;
}

const endpointOf = (text: string): string => {
	const url = URL.canParse(text) ? new URL(text) : undefined;
	if (url === undefined || !['http:', 'https:'].includes(url.protocol) || url.search !== '' || url.username !== '') {
		throw new StorageError('misconfigured', `S3_ENDPOINT is ${JSON.stringify(text)}: write an address like https://s3.example.com`);
	}
	return text.replace(/\/+$/, '');
};

/** @throws {StorageError} `misconfigured`, with a sentence that names the variable */
export const s3Config = (env: S3Variables): S3Config => {
	const values = {
		S3_ENDPOINT: env.S3_ENDPOINT,
		S3_BUCKET: env.S3_BUCKET,
		S3_ACCESS_KEY_ID: env.S3_ACCESS_KEY_ID,
		S3_SECRET_ACCESS_KEY: env.S3_SECRET_ACCESS_KEY ?? '',
	};
	const missing = Object.entries(values).flatMap(([name, value]) => (value.trim() === '' ? [name] : []));
	if (missing.length > 0) throw new StorageError('misconfigured', `S3 storage needs ${missing.join(', ')}`);
	if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(env.S3_BUCKET))
		throw new StorageError('misconfigured', `S3_BUCKET is ${JSON.stringify(env.S3_BUCKET)}, which is no name of a bucket`);
	return {
		endpoint: endpointOf(env.S3_ENDPOINT.trim()),
		bucket: env.S3_BUCKET,
		region: env.S3_REGION.trim() === '' ? 'auto' : env.S3_REGION.trim(),
		accessKeyId: values.S3_ACCESS_KEY_ID.trim(),
		secretAccessKey: values.S3_SECRET_ACCESS_KEY.trim(),
	};
};

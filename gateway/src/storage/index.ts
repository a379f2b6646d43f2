/**
 * Which store this gateway uses, by its variables.
 * @module
 */
import { StorageError, type Storage } from './port.ts';
import { r2Storage } from './r2.ts';
import { s3Config, type S3Config, type S3Variables } from './s3/config.ts';
import { s3Storage } from './s3/s3.ts';

export { StorageError, type Storage } from './port.ts';

/** The part of the environment that says where objects are. Types of variables know their defaults only. */
export type StorageEnv = S3Variables & { STORAGE: string; RESULT_UPLOAD: string; PICTURES: R2Bucket };

/**
 * The store of results and inputs: `STORAGE` is `r2` (the bucket that is bound) or `s3`.
 * @throws {StorageError} `misconfigured`
 */
export const storageOf = (env: StorageEnv): Storage => {
	if (env.STORAGE === 'r2') return r2Storage(env.PICTURES);
	if (env.STORAGE === 's3') return s3Storage(s3Config(env));
	throw new StorageError('misconfigured', `STORAGE is ${JSON.stringify(env.STORAGE)}: write r2 or s3`);
};

/**
 * Where nodes put results themselves, or `undefined` when they send them to the gateway. With `STORAGE = "r2"` the S3 settings are
 * those of R2's own S3 endpoint: the same bucket, reached from outside.
 * @throws {StorageError} `misconfigured`
 */
export const directUpload = (env: StorageEnv): S3Config | undefined => {
	if (env.RESULT_UPLOAD === 'worker') return undefined;
	if (env.RESULT_UPLOAD === 'direct') return s3Config(env);
	throw new StorageError('misconfigured', `RESULT_UPLOAD is ${JSON.stringify(env.RESULT_UPLOAD)}: write worker or direct`);
};

/** Whether grants say so to nodes. Wrong settings must not stop grants: nodes send to the gateway then, and `/ready` tells. */
export const offersDirect = (env: StorageEnv): boolean => {
	try {
		return directUpload(env) !== undefined;
	} catch {
		return false;
	}
};

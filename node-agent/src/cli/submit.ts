/**
 * `limner submit`: a job at a gateway, followed to its end, and its pictures.
 * @module
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { JobRequest, JobView } from '@limner/shared';
import type { Command } from 'commander';
import { cancelJob, createProgressLine, downloadImage, followJob, submitJob, uploadAsset } from '../client/index.ts';
import { settings } from '../config/settings.ts';
import { userPath } from '../lib/paths.ts';
import { errorCode, EXIT, messageOf, UserError } from '../lib/user-error.ts';
import { numberedFile, timesLine, writeOutput } from './output.ts';
import { gatewayAddress } from './parse.ts';
import { addQueueFlags, addRequestFlags, formatOf, toJobRequest, type RequestFlags } from './request-flags.ts';

interface SubmitFlags extends RequestFlags {
	out: string;
	url?: string;
	key?: string;
	wait: boolean;
	json?: boolean;
}

/** Address and key that apply. */
export const gatewayAccess = (flags: { url?: string; key?: string }): { url: string; key: string } => {
	const url = flags.url ?? settings().url;
	const key = flags.key ?? settings().apiKey;
	if (key === undefined) {
		throw new UserError('There is no API key; run `limner login`, or set LIMNER_API_KEY (the key of `npm start` is in .limner/key).');
	}
	return { url, key };
};

const TYPES: readonly (readonly [type: string, matches: (bytes: Uint8Array) => boolean])[] = [
	['image/png', (bytes) => bytes[0] === 0x89 && bytes[1] === 0x50],
	['image/jpeg', (bytes) => bytes[0] === 0xff && bytes[1] === 0xd8],
	['image/webp', (bytes) => Buffer.from(bytes.subarray(8, 12)).toString('latin1') === 'WEBP'],
];

const upload = async (url: string, key: string, file: string, flag: string): Promise<string> => {
	const path = userPath(file);
	let bytes: Uint8Array<ArrayBuffer>;
	try {
		bytes = new Uint8Array(readFileSync(path));
	} catch (error) {
		throw new UserError(`${path} cannot be read (${errorCode(error) ?? messageOf(error)}); check the path after --${flag}.`, {
			cause: error,
		});
	}
	const type = TYPES.find(([, matches]) => matches(bytes))?.[0];
	if (type === undefined) throw new UserError(`${path} is not a PNG, JPEG or WebP picture; convert it first.`);
	return uploadAsset(url, key, bytes, type);
};

const bodyOf = async (url: string, key: string, flags: SubmitFlags): Promise<JobRequest> => {
	const format = formatOf(flags, flags.out);
	const body = toJobRequest({ ...flags, ...(format === undefined || format === 'png' ? {} : { outputFormat: format }) });
	if (flags.init !== undefined) body.initImage = { asset: await upload(url, key, flags.init, 'init') };
	if (flags.mask !== undefined) body.maskImage = { asset: await upload(url, key, flags.mask, 'mask') };
	return body;
};

const failure = (job: JobView): UserError => {
	const made = job.images.length > 0 ? ` ${job.images.length} of ${job.request.n} pictures were made and are kept.` : '';
	return new UserError(`The job ${job.id} is ${job.state}: ${(job.error?.message ?? 'no reason was given').replace(/\.$/, '')}.${made}`);
};

const save = async (url: string, key: string, job: JobView, out: string): Promise<void> => {
	for (const image of job.images) {
		const file = numberedFile(userPath(out), image.index, job.request.n);
		writeOutput(file, await downloadImage(url, key, { jobId: job.id, index: image.index, sha256: image.sha256 }));
		console.log(`${file}  ${image.width}×${image.height}, seed ${image.seed}`);
	}
};

const follow = async (url: string, key: string, job: JobView): Promise<JobView> => {
	const line = createProgressLine({ n: job.request.n });
	const abort = new AbortController();
	let interrupted = false;
	const onInterrupt = (): void => {
		if (interrupted) process.exit(EXIT.interrupted);
		interrupted = true;
		line.note(`limner: cancelling ${job.id} …`);
		void cancelJob(url, key, job.id).catch(() => abort.abort());
	};
	process.on('SIGINT', onInterrupt);
	try {
		const ended = await followJob(url, key, job.id, {
			onEvent: line.event,
			onReconnect: (waitMs) => {
				if (waitMs > 1000) line.note('limner: the connection was lost; trying again …');
			},
			signal: abort.signal,
		});
		const times = line.done();
		for (const warning of ended.warnings) console.error(`limner: note: ${warning}`);
		console.error(`limner: ${timesLine(times)}`);
		return ended;
	} finally {
		line.done();
		process.off('SIGINT', onInterrupt);
	}
};

const submit = async (flags: SubmitFlags): Promise<void> => {
	const { url, key } = gatewayAccess(flags);
	const job = await submitJob(url, key, await bodyOf(url, key, flags), { idempotencyKey: randomUUID() });
	if (!flags.wait) {
		console.log(flags.json === true ? JSON.stringify(job) : job.id);
		return;
	}
	const ended = await follow(url, key, job);
	await save(url, key, ended, flags.out);
	if (flags.json === true) console.log(JSON.stringify(ended));
	if (ended.state !== 'succeeded') throw failure(ended);
};

export const registerSubmit = (program: Command): void => {
	addQueueFlags(addRequestFlags(program.command('submit').description('have a gateway make pictures')))
		.option('--out <file>', 'where to write the picture', 'limner.png')
		.option('--url <address>', 'the gateway (default: LIMNER_URL)', gatewayAddress)
		.option('--key <key>', 'API key (default: LIMNER_API_KEY)')
		.option('--no-wait', "print the job's id and leave")
		.option('--json', 'print the job as JSON as well')
		.action(submit);
};

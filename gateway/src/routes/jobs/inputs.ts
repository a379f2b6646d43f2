/**
 * Input pictures of a request as R2 keys: an asset that exists, or a picture of a finished job of the same workspace.
 * @module
 */
import { assetKey, isTerminal, type FieldError, type InputImage, type JobSpec } from '@limner/shared';
import { validationError } from '../../lib/problem.ts';
import type { AssetRow, JobRow } from '../../rpc.ts';

/** Where pictures are looked up: of the caller's workspace only. */
export interface InputSource {
	asset: (assetId: string) => Promise<AssetRow | null>;
	job: (jobId: string) => Promise<JobRow | null>;
}

type Role = 'initImage' | 'maskImage';
type Found = { ok: true; key: string } | { ok: false; error: FieldError };

const refused = (pointer: string, detail: string): Found => ({ ok: false, error: { pointer, detail, code: 'not_found' } });

/** The picture of a job that a request names. Pure. */
export const pictureOf = (row: JobRow | null, index: number, role: Role): Found => {
	if (row === null) return refused(`/${role}/job`, 'there is no such job');
	if (!isTerminal('job', row.state))
		return refused(`/${role}/job`, `the job is still ${row.state}; its pictures can be used once it has ended`);
	const image = row.images.find((record) => record.index === index);
	if (image !== undefined) return { ok: true, key: image.key };
	if (row.purgedAt !== undefined && index < row.spec.n) return refused(`/${role}/job`, `picture ${index} of this job was removed`);
	return refused(`/${role}/index`, `the job has no picture ${index}`);
};

const find = async (source: InputSource, ws: string, input: InputImage, role: Role, nowMs: number): Promise<Found> => {
	if ('asset' in input) {
		const asset = await source.asset(input.asset);
		if (asset === null) return refused(`/${role}/asset`, 'there is no such asset; upload it with POST /api/v1/assets');
		if (asset.expiresAt <= nowMs) return refused(`/${role}/asset`, 'the asset has expired; upload it again');
		return { ok: true, key: assetKey(ws, input.asset) };
	}
	return pictureOf(await source.job(input.job), input.index, role);
};

/**
 * R2 keys of a spec's input pictures, as `spec.inputKeys` keeps them.
 * @throws {LimnerError} `validation_failed` with a pointer to the reference that leads nowhere
 */
export const inputKeysOf = async (
	source: InputSource,
	ws: string,
	spec: Pick<JobSpec, 'initImage' | 'maskImage'>,
	nowMs: number,
): Promise<{ init?: string; mask?: string } | undefined> => {
	if (spec.initImage === undefined && spec.maskImage === undefined) return undefined;
	const init = spec.initImage === undefined ? undefined : await find(source, ws, spec.initImage, 'initImage', nowMs);
	const mask = spec.maskImage === undefined ? undefined : await find(source, ws, spec.maskImage, 'maskImage', nowMs);
	const errors = [init, mask].flatMap((found) => (found?.ok === false ? [found.error] : []));
	if (errors.length > 0) throw validationError(errors);
	return { ...(init?.ok === true ? { init: init.key } : {}), ...(mask?.ok === true ? { mask: mask.key } : {}) };
};

/**
 * Input pictures of a request as R2 keys: an asset that exists, or a picture of a finished job of the same workspace.
 * @module
 */
import { assetKey, isJobId, isTerminal, type FieldError, type InputImage, type JobSpec } from '@limner/shared';
import { validationError } from '../../lib/problem.ts';
import type { AssetRow, JobRow } from '../../rpc.ts';

/** Where pictures are looked up: of the caller's workspace only. */
export interface InputSource {
	asset: (assetId: string) => Promise<AssetRow | null>;
	job: (jobId: string) => Promise<JobRow | null>;
}

type Role = 'initImage' | 'maskImage';
type Found = { ok: true; key: string } | { ok: true; later: true } | { ok: false; error: FieldError };

const refused = (pointer: string, detail: string): Found => ({ ok: false, error: { pointer, detail, code: 'not_found' } });

/**
 * The picture of a job that a request names. Pure.
 * @param awaited the request waits for that job: its picture may come later
 */
export const pictureOf = (row: JobRow | null, index: number, role: Role, awaited = false): Found => {
	if (row === null) return refused(`/${role}/job`, 'there is no such job');
	if (!isTerminal('job', row.state)) {
		if (awaited && index < row.spec.n) return { ok: true, later: true };
		if (awaited) return refused(`/${role}/index`, `the job makes ${row.spec.n} pictures only`);
		return refused(
			`/${role}/job`,
			`the job is still ${row.state}; its pictures can be used once it has ended. To wait for it, name it in dependsOn`,
		);
	}
	const image = row.images.find((record) => record.index === index);
	if (image !== undefined) return { ok: true, key: image.key };
	if (row.purgedAt !== undefined && index < row.spec.n) return refused(`/${role}/job`, `picture ${index} of this job was removed`);
	return refused(`/${role}/index`, `the job has no picture ${index}`);
};

const find = async (
	source: InputSource,
	ws: string,
	input: InputImage,
	role: Role,
	nowMs: number,
	awaited: readonly string[],
): Promise<Found> => {
	if ('asset' in input) {
		const asset = await source.asset(input.asset);
		if (asset === null) return refused(`/${role}/asset`, 'there is no such asset; upload it with POST /api/v1/assets');
		if (asset.expiresAt <= nowMs) return refused(`/${role}/asset`, 'the asset has expired; upload it again');
		return { ok: true, key: assetKey(ws, input.asset) };
	}
	// A key of the same workflow: there is nothing to look up yet.
	if (!isJobId(input.job)) return { ok: true, later: true };
	return pictureOf(await source.job(input.job), input.index, role, awaited.includes(input.job));
};

const keyOf = (role: 'init' | 'mask', found: Found | undefined): { init?: string; mask?: string } =>
	found?.ok === true && 'key' in found ? { [role]: found.key } : {};

/**
 * R2 keys of a spec's input pictures, as `spec.inputKeys` keeps them.
 * @throws {LimnerError} `validation_failed` with a pointer to the reference that leads nowhere
 */
export const inputKeysOf = async (
	source: InputSource,
	ws: string,
	spec: Pick<JobSpec, 'initImage' | 'maskImage' | 'dependsOn'>,
	nowMs: number,
): Promise<{ init?: string; mask?: string } | undefined> => {
	if (spec.initImage === undefined && spec.maskImage === undefined) return undefined;
	const init = spec.initImage === undefined ? undefined : await find(source, ws, spec.initImage, 'initImage', nowMs, spec.dependsOn ?? []);
	const mask = spec.maskImage === undefined ? undefined : await find(source, ws, spec.maskImage, 'maskImage', nowMs, spec.dependsOn ?? []);
	const errors = [init, mask].flatMap((found) => (found?.ok === false ? [found.error] : []));
	if (errors.length > 0) throw validationError(errors);
	return { ...keyOf('init', init), ...keyOf('mask', mask) };
};

/**
 * A backup of a workspace: a folder with `manifest.json`, `ledger.jsonl`, `jobs.jsonl` and `pictures/`.
 * @module
 */
import { z } from 'zod';

export const BACKUP_VERSION = 1;

const FileEntry = z.object({ bytes: z.int().min(0), sha256: z.string().regex(/^[0-9a-f]{64}$/) });

export const BackupManifest = z.object({
	version: z.literal(BACKUP_VERSION),
	workspace: z.string(),
	createdAt: z.iso.datetime(),
	/** Ended jobs. */
	jobs: z.int(),
	pictures: z.int(),
	/** Pictures that a job names and the gateway no longer had. */
	missing: z.array(z.string()),
	head: z.object({ seq: z.int(), hash: z.string() }),
	/** Size and checksum of every other file of the folder, by path. */
	files: z.record(z.string(), FileEntry),
});
export type BackupManifest = z.infer<typeof BackupManifest>;

/** One line of `jobs.jsonl`: a row as the workspace keeps it. Checked again by the gateway that takes it. */
export const BackupJobLine = z.looseObject({
	keyId: z.string(),
	row: z.looseObject({
		id: z.string().regex(/^job_[0-9a-z]{28}$/),
		ws: z.string(),
		state: z.string(),
		images: z.array(z.looseObject({ index: z.int(), key: z.string(), sha256: z.string(), bytes: z.int(), contentType: z.string() })),
	}),
});
export type BackupJobLine = z.infer<typeof BackupJobLine>;

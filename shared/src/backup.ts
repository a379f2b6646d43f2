/**
 * A backup of a workspace: a folder with `manifest.json`, `ledger.jsonl`, `jobs.jsonl`, `workspace.jsonl` and `pictures/`.
 * @module
 */
import { z } from 'zod';
import { AlertRulesChange } from './alert-rules.ts';
import { KeyLimits, WorkspaceLimits } from './quotas.ts';
import { ROLES } from './scopes.ts';

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

const Time = z.int().min(0);
const Sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const Amount = z.tuple([z.int(), z.int(), z.int(), z.int()]);

/**
 * What a workspace is besides its ledger, its ended jobs and its pictures: the lines of `workspace.jsonl`. Nothing in it
 * opens anything: keys are SHA-256 hashes of random texts, and secrets of webhooks are derived by the gateway.
 */
export const BackupPart = z.discriminatedUnion('kind', [
	/** `secretId` tells whether another gateway has the same `LIMNER_SECRET`, and nothing else of it. */
	z.strictObject({ kind: z.literal('profile'), name: z.string(), limits: WorkspaceLimits, secretId: z.string() }),
	z.strictObject({
		kind: z.literal('member'),
		accountId: z.string(),
		email: z.string(),
		name: z.string(),
		role: z.enum(ROLES),
		joinedAt: Time,
		addedBy: z.string(),
	}),
	z.strictObject({
		kind: z.literal('key'),
		id: z.string().regex(/^[0-9a-z]{1,32}$/),
		hash: Sha256,
		name: z.string(),
		scopes: z.array(z.string()),
		createdAt: Time,
		createdBy: z.string().nullable(),
		expiresAt: Time.nullable(),
		revokedAt: Time.nullable(),
		models: z.array(z.string()).nullable(),
		limits: KeyLimits.nullable(),
	}),
	z.strictObject({
		kind: z.literal('allocation'),
		id: z.string(),
		createdAt: Time,
		createdBy: z.string(),
		note: z.string(),
		startsAt: Time,
		endsAt: Time,
		images: Time,
		milliSteps: Time,
		usedImages: Time,
		usedMilliSteps: Time,
		releasedAt: Time.nullable(),
	}),
	z.strictObject({ kind: z.literal('usage-day'), dayAt: Time, pairs: z.record(z.string(), Amount) }),
	z.strictObject({
		kind: z.literal('usage'),
		minuteAt: Time,
		minute: z.record(z.string(), Amount),
		dayAt: Time,
		day: z.record(z.string(), Amount),
		storedBytes: Time,
	}),
	z.strictObject({ kind: z.literal('takedown'), jobId: z.string(), index: z.int(), at: Time, who: z.string(), reason: z.string() }),
	z.strictObject({
		kind: z.literal('webhook'),
		id: z.string().regex(/^wh_[0-9a-hjkmnp-tv-z]{26}$/),
		url: z.string(),
		events: z.array(z.string()),
		description: z.string(),
		enabled: z.boolean(),
		base: z.string(),
		version: z.int().min(1),
		createdAt: Time,
	}),
	z.strictObject({ kind: z.literal('alert-rules'), rules: AlertRulesChange }),
	/** A job that had not ended: it begins anew. */
	z.strictObject({ kind: z.literal('open-job'), ...BackupJobLine.shape }),
]);
export type BackupPart = z.infer<typeof BackupPart>;
export type BackupPartOf<K extends BackupPart['kind']> = Extract<BackupPart, { kind: K }>;

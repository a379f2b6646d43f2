/**
 * `limner backup` and `limner restore`: the ended jobs, the ledger and the pictures of a workspace, as a folder.
 * @module
 */
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { AuditLine, BACKUP_VERSION, BackupJobLine, BackupPart, BODY_LIMITS, verifyExport, type BackupManifest } from '@limner/shared';
import type { Command } from 'commander';
import { z } from 'zod';
import { call, callRaw, GatewayError, problemOf } from '../../client/http.ts';
import { userPath } from '../../lib/paths.ts';
import { UserError } from '../../lib/user-error.ts';
import { gatewayAddress } from '../parse.ts';
import { gatewayAccess } from '../submit.ts';
import { BackupWriter, readManifest, verifyFiles } from './folder.ts';

interface Access {
	url?: string;
	key?: string;
}

const LEDGER = 'ledger.jsonl';
const JOBS = 'jobs.jsonl';
/** Absent in backups of earlier versions. */
const WORKSPACE = 'workspace.jsonl';
/** A batch stays well below what the gateway takes as one JSON body. */
const BATCH_BYTES = BODY_LIMITS.jsonBytes / 2;
const BATCH_ITEMS = 200;

const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');
const pictureFile = (jobId: string, index: number): string => `pictures/${jobId}-${index}`;

const Parts = z.object({ data: z.array(BackupPart) });
const JobPage = z.object({ data: z.array(BackupJobLine), nextCursor: z.string().nullable() });

const fetchJobs = async (url: string, key: string): Promise<BackupJobLine[]> => {
	const jobs: BackupJobLine[] = [];
	for (let cursor: string | null = ''; cursor !== null;) {
		const query: string = cursor === '' ? '' : `?cursor=${cursor}`;
		const page = JobPage.parse(await (await call(url, key, `/api/v1/backup/jobs${query}`)).json());
		jobs.push(...page.data);
		cursor = page.nextCursor;
	}
	return jobs;
};

/** Bytes of a picture; nothing when the gateway has it no longer. */
const fetchPicture = async (url: string, key: string, jobId: string, index: number): Promise<Uint8Array | undefined> => {
	const response = await callRaw(url, key, `/api/v1/jobs/${jobId}/images/${index}`);
	if (response.status === 404 || response.status === 410) return undefined;
	if (!response.ok) throw await problemOf(response);
	return new Uint8Array(await response.arrayBuffer());
};

const savePictures = async (
	url: string,
	key: string,
	jobs: readonly BackupJobLine[],
	writer: BackupWriter,
): Promise<{ saved: number; missing: string[] }> => {
	const missing: string[] = [];
	let saved = 0;
	for (const { row } of jobs) {
		for (const image of row.images) {
			const bytes = await fetchPicture(url, key, row.id, image.index);
			if (bytes === undefined) missing.push(`${row.id}/${image.index}`);
			else if (sha256(bytes) !== image.sha256)
				throw new UserError(`Picture ${image.index} of ${row.id} arrived damaged; run the backup again.`);
			else {
				writer.write(pictureFile(row.id, image.index), bytes);
				saved++;
			}
		}
	}
	return { saved, missing };
};

/** Makes a backup; the ledger comes last, so that it seals every job that is in it. */
export const backup = async (url: string, key: string, folder: string): Promise<BackupManifest> => {
	const writer = new BackupWriter(folder);
	// Before the jobs: one that ends in between is in both, and counts as ended.
	const parts = Parts.parse(await (await call(url, key, '/api/v1/backup/workspace')).json()).data;
	writer.write(WORKSPACE, parts.map((part) => `${JSON.stringify(part)}\n`).join(''));
	const jobs = await fetchJobs(url, key);
	writer.write(JOBS, jobs.map((job) => `${JSON.stringify(job)}\n`).join(''));
	const { saved, missing } = await savePictures(url, key, jobs, writer);
	const ledger = await (await call(url, key, '/api/v1/audit/export')).text();
	const verdict = await verifyExport(ledger.split('\n'), sha256);
	if (!verdict.ok)
		throw new UserError(`The ledger of the gateway does not hold (line ${verdict.line}: ${verdict.why}); nothing was backed up.`);
	writer.write(LEDGER, ledger);
	const { workspace, head } = verdict;
	const facts = {
		version: BACKUP_VERSION,
		workspace,
		createdAt: new Date().toISOString(),
		jobs: jobs.length,
		pictures: saved,
		missing,
		head,
	} as const;
	writer.finish(facts);
	return { ...facts, files: writer.files };
};

const linesOf = (file: string): AsyncIterable<string> =>
	createInterface({ input: createReadStream(file, 'utf8'), crlfDelay: Number.POSITIVE_INFINITY });

/** Checks a backup without a gateway. */
export const verifyBackup = async (folder: string): Promise<BackupManifest> => {
	const manifest = readManifest(folder);
	await verifyFiles(folder, manifest);
	const verdict = await verifyExport(linesOf(join(folder, LEDGER)), sha256);
	if (!verdict.ok) throw new UserError(`The ledger in ${folder} does not hold: line ${verdict.line}: ${verdict.why}.`);
	return manifest;
};

const post = (url: string, key: string, path: string, body: unknown): Promise<Response> =>
	call(url, key, path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

/** Sends the lines of a file in batches that the gateway takes. */
const sendLines = async (
	lines: AsyncIterable<string>,
	pick: (text: string) => unknown,
	send: (items: unknown[]) => Promise<unknown>,
): Promise<void> => {
	let batch: unknown[] = [];
	let bytes = 0;
	for await (const text of lines) {
		const item = pick(text);
		if (item === undefined) continue;
		if (batch.length > 0 && (bytes + text.length > BATCH_BYTES || batch.length >= BATCH_ITEMS)) {
			await send(batch);
			[batch, bytes] = [[], 0];
		}
		batch.push(item);
		bytes += text.length;
	}
	if (batch.length > 0) await send(batch);
};

const rowOf = (text: string): unknown => {
	const line = text.trim() === '' ? undefined : AuditLine.parse(JSON.parse(text));
	if (line?.kind !== 'row') return undefined;
	const { kind: _kind, ...row } = line;
	return row;
};

const jobOf = (text: string): BackupJobLine | undefined => (text.trim() === '' ? undefined : BackupJobLine.parse(JSON.parse(text)));

const RestoredParts = z.object({
	invited: z.array(z.object({ email: z.string(), role: z.string(), url: z.string(), mail: z.string() })),
	left: z.array(z.string()),
	sameSecret: z.boolean().nullable(),
});
type RestoredParts = z.infer<typeof RestoredParts>;

/** Members, keys, limits, webhooks, open jobs …; answers what a person has to do about them. */
const restoreWorkspace = async (url: string, key: string, folder: string): Promise<RestoredParts> => {
	const all: RestoredParts = { invited: [], left: [], sameSecret: null };
	await sendLines(
		linesOf(join(folder, WORKSPACE)),
		(text) => (text.trim() === '' ? undefined : BackupPart.parse(JSON.parse(text))),
		async (parts) => {
			const answer = RestoredParts.parse(await (await post(url, key, '/api/v1/backup/restore/workspace', { parts })).json());
			all.invited.push(...answer.invited);
			all.left.push(...answer.left);
			all.sameSecret ??= answer.sameSecret;
		},
	);
	return all;
};

export interface Restoration {
	manifest: BackupManifest;
	parts: RestoredParts;
}

/** Brings a backup back into an empty workspace of the same name; the gateway compares every picture with its job. */
export const restore = async (url: string, key: string, folder: string): Promise<Restoration> => {
	const manifest = await verifyBackup(folder);
	await call(url, key, '/api/v1/backup/restore', { method: 'POST' });
	await sendLines(linesOf(join(folder, LEDGER)), rowOf, (rows) => post(url, key, '/api/v1/backup/restore/rows', { rows, jobs: [] }));
	const jobs: BackupJobLine[] = [];
	const take = (text: string): unknown => {
		const job = jobOf(text);
		if (job !== undefined) jobs.push(job);
		return job;
	};
	await sendLines(linesOf(join(folder, JOBS)), take, (batch) => post(url, key, '/api/v1/backup/restore/rows', { rows: [], jobs: batch }));
	for (const { row } of jobs) {
		for (const { index } of row.images) {
			const file = pictureFile(row.id, index);
			if (manifest.files[file] === undefined) continue;
			const body = new Uint8Array(readFileSync(join(folder, file)));
			const headers = { 'content-type': 'application/octet-stream' };
			await call(url, key, `/api/v1/backup/pictures/${row.id}/${index}`, { method: 'PUT', headers, body });
		}
	}
	const parts: RestoredParts =
		manifest.files[WORKSPACE] === undefined ? { invited: [], left: [], sameSecret: null } : await restoreWorkspace(url, key, folder);
	await post(url, key, '/api/v1/backup/restore/finish', manifest.head);
	return { manifest, parts };
};

const said = (manifest: BackupManifest): string =>
	`workspace ${manifest.workspace}: ${manifest.jobs} jobs, ${manifest.pictures} pictures, ledger up to row ${manifest.head.seq}`;

/** Links go to stdout, so that they can be passed on; they are not shown again. */
const tellRestored = (manifest: BackupManifest, { invited, left, sameSecret }: RestoredParts): void => {
	console.log(`Restored ${said(manifest)}.`);
	for (const { email, role, url, mail } of invited) console.log(`${email} (${role})  ${url}${mail === 'sent' ? '  sent by mail' : ''}`);
	if (invited.length > 0) console.error('limner: these members have no account here; their links work once.');
	for (const what of left) console.error(`limner: left out: ${what}`);
	if (sameSecret === false) console.error('limner: this gateway has another LIMNER_SECRET: rotate the secrets of the webhooks.');
};

const explained = async <T>(work: Promise<T>): Promise<T> => {
	try {
		return await work;
	} catch (error) {
		if (error instanceof GatewayError && error.status === 403) throw new UserError('The key needs the scope admin.', { cause: error });
		throw error;
	}
};

const withAccess = (command: Command): Command =>
	command
		.option('--url <address>', 'the gateway (LIMNER_URL)', gatewayAddress)
		.option('--key <key>', 'API key with the scope admin (LIMNER_API_KEY)');

export const registerBackup = (program: Command): void => {
	withAccess(program.command('backup').description('save the jobs, the ledger and the pictures of a workspace in a folder'))
		.requiredOption('--out <folder>', 'a new folder')
		.action(async (flags: Access & { out: string }) => {
			const { url, key } = gatewayAccess(flags);
			const folder = userPath(flags.out);
			const manifest = await explained(backup(url, key, folder));
			console.log(`${folder}  ${said(manifest)}`);
			if (manifest.missing.length > 0)
				console.error(`limner: ${manifest.missing.length} pictures were not there any more; the manifest names them.`);
		});
	withAccess(program.command('restore').description('bring a backup back into an empty workspace of the same name'))
		.argument('<folder>', 'the folder of the backup')
		.option('--check', 'only check the backup; no gateway is asked')
		.action(async (given: string, flags: Access & { check?: boolean }) => {
			const folder = userPath(given);
			if (flags.check === true) return console.log(`The backup holds: ${said(await verifyBackup(folder))}.`);
			const { url, key } = gatewayAccess(flags);
			const { manifest, parts } = await explained(restore(url, key, folder));
			return tellRestored(manifest, parts);
		});
};

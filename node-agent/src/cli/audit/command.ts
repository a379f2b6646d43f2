/**
 * `limner audit verify` and `limner audit export`: the ledger of a workspace, kept as a file and checked.
 * @module
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AuditLine, verifyExport, type AuditVerdict } from '@limner/shared';
import type { Command } from 'commander';
import { call } from '../../client/http.ts';
import { userPath } from '../../lib/paths.ts';
import { errorCode, messageOf, UserError } from '../../lib/user-error.ts';
import { gatewayAddress } from '../parse.ts';
import { gatewayAccess } from '../submit.ts';

interface Access {
	url?: string;
	key?: string;
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

const exported = async (flags: Access): Promise<Readable> => {
	const { url, key } = gatewayAccess(flags);
	const response = await call(url, key, '/api/v1/audit/export');
	if (response.body === null) throw new UserError('The gateway answered nothing; run the command again.');
	return Readable.fromWeb(response.body);
};

const readable = (file: string, error: unknown): UserError =>
	new UserError(`${file} cannot be read (${errorCode(error) ?? messageOf(error)}); check the path.`, { cause: error });

/** Lines of a file, or of a live gateway. */
async function* linesOf(file: string | undefined, flags: Access): AsyncGenerator<string> {
	const path = file === undefined ? undefined : userPath(file);
	const input = path === undefined ? await exported(flags) : createReadStream(path, 'utf8');
	try {
		yield* createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
	} catch (error) {
		throw path === undefined ? error : readable(path, error);
	}
}

/** Head of an older export, which the newer one must still contain. */
const olderHead = async (file: string): Promise<{ seq: number; hash: string }> => {
	for await (const text of linesOf(file, {})) {
		let line: unknown;
		try {
			line = JSON.parse(text);
		} catch {
			line = undefined;
		}
		const parsed = AuditLine.safeParse(line).data;
		if (parsed?.kind === 'ledger') return parsed.head;
		break;
	}
	throw new UserError(`${userPath(file)} is not an exported ledger; make one with \`limner audit export\`.`);
};

/** Passes lines on and notes the hash of one row. */
async function* noting(lines: AsyncIterable<string>, seq: number, found: (hash: string) => void): AsyncGenerator<string> {
	for await (const text of lines) {
		if (text.includes(`"seq":${seq},`) && text.startsWith('{"kind":"row"')) found(String((JSON.parse(text) as { hash: unknown }).hash));
		yield text;
	}
}

const wrong = (verdict: Extract<AuditVerdict, { ok: false }>): UserError =>
	new UserError(
		`The ledger does not hold: line ${verdict.line}${verdict.seq === undefined ? '' : ` (row ${verdict.seq})`}: ${verdict.why}.`,
	);

interface VerifyFlags extends Access {
	since?: string;
}

const verify = async (file: string | undefined, flags: VerifyFlags): Promise<void> => {
	const older = flags.since === undefined ? undefined : await olderHead(flags.since);
	let hash: string | undefined;
	const lines = linesOf(file, flags);
	const verdict = await verifyExport(older === undefined ? lines : noting(lines, older.seq, (seen) => (hash = seen)), sha256);
	if (!verdict.ok) throw wrong(verdict);
	if (older !== undefined && older.seq > 0 && hash !== older.hash) {
		throw new UserError(`The ledger does not hold: row ${older.seq} is not the one of the earlier export; the chain was written anew.`);
	}
	const { workspace, rows, histories, unsealed, head } = verdict;
	console.log(`The ledger of ${workspace} holds: ${rows} rows, ${histories} sealed histories, ${unsealed} open jobs.`);
	console.log(`head ${head.seq} ${head.hash}`);
};

const exportTo = async (flags: Access & { out: string }): Promise<void> => {
	const input = await exported(flags);
	if (flags.out === '-') return pipeline(input, process.stdout, { end: false });
	const path = userPath(flags.out);
	try {
		await pipeline(input, createWriteStream(path, { mode: 0o600 }));
	} catch (error) {
		throw new UserError(`${path} could not be written (${errorCode(error) ?? messageOf(error)}); choose another place or free some disk.`, {
			cause: error,
		});
	}
	console.log(path);
};

export const registerAudit = (program: Command): void => {
	const audit = program.command('audit').description('the ledger of a workspace');
	audit
		.command('verify')
		.description('check that no row of the ledger was changed, dropped or put in between')
		.argument('[file]', 'an exported ledger; without it the gateway is asked')
		.option('--since <file>', 'an earlier export, which must be the beginning of this one')
		.option('--url <address>', 'the gateway (LIMNER_URL)', gatewayAddress)
		.option('--key <key>', 'API key with the scope audit:read (LIMNER_API_KEY)')
		.action(verify);
	audit
		.command('export')
		.description('write the ledger into a file of JSON Lines')
		.option('--out <file>', 'the file; - for the standard output', 'ledger.jsonl')
		.option('--url <address>', 'the gateway (LIMNER_URL)', gatewayAddress)
		.option('--key <key>', 'API key with the scope audit:read (LIMNER_API_KEY)')
		.action(exportTo);
};

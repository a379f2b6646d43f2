/**
 * `node.json` in the state folder: who this node is. Mode 600, replaced atomically.
 * @module
 */
import { join } from 'node:path';
import { z } from 'zod';
import { realFs, writeAtomic, type DurableFs } from '../lib/durable-fs.ts';
import { errorCode, messageOf, UserError } from '../lib/user-error.ts';
import { newKeyPair } from './keys.ts';

const Identity = z.object({
	version: z.literal(1),
	keys: z.object({ publicKey: z.string(), privateKey: z.string() }),
	/** Keys that the gateway has been asked to take, or is about to be: kept until its answer is here. */
	nextKeys: z.object({ publicKey: z.string(), privateKey: z.string() }).optional(),
	/** Gateway that signed the certificate. */
	gateway: z.string().optional(),
	nodeId: z.string().optional(),
	certificate: z.string().optional(),
	shard: z.int().optional(),
	name: z.string().optional(),
});
export type Identity = z.infer<typeof Identity>;
export type EnrolledIdentity = Identity & { nodeId: string; certificate: string };

export const identityFile = (stateDir: string): string => join(stateDir, 'node.json');

export const isEnrolled = (identity: Identity): identity is EnrolledIdentity =>
	identity.nodeId !== undefined && identity.certificate !== undefined;

/** Writes the identity. */
export const saveIdentity = async (stateDir: string, identity: Identity, fs: DurableFs = realFs): Promise<void> => {
	try {
		await writeAtomic(fs, identityFile(stateDir), `${JSON.stringify(identity, null, '\t')}\n`, 0o600);
	} catch (error) {
		throw new UserError(
			`The node's identity cannot be written to ${identityFile(stateDir)} (${errorCode(error) ?? messageOf(error)}); free some disk or choose another --state-dir.`,
			{ cause: error },
		);
	}
};

/** Reads the identity, or makes a new key pair when there is none. */
export const loadIdentity = async (stateDir: string, fs: DurableFs = realFs): Promise<Identity> => {
	const file = identityFile(stateDir);
	let text: string;
	try {
		await fs.makeFolder(stateDir);
		text = Buffer.from(await fs.read(file)).toString();
	} catch (error) {
		if (errorCode(error) !== 'ENOENT') {
			throw new UserError(
				`The state folder ${stateDir} cannot be used (${errorCode(error) ?? messageOf(error)}); choose another with --state-dir.`,
				{ cause: error },
			);
		}
		const fresh: Identity = { version: 1, keys: newKeyPair() };
		await saveIdentity(stateDir, fresh, fs);
		return fresh;
	}
	try {
		return Identity.parse(JSON.parse(text));
	} catch (error) {
		throw new UserError(`${file} is damaged; delete it and enrol again with --token.`, { cause: error });
	}
};

/** When a certificate ends, in milliseconds since the epoch; `undefined` when its text does not say. */
export const certificateExpiry = (certificate: string): number | undefined => {
	try {
		const claims: unknown = JSON.parse(Buffer.from(certificate.split('.')[0] ?? '', 'base64url').toString());
		const exp = typeof claims === 'object' && claims !== null && 'exp' in claims ? claims.exp : undefined;
		return typeof exp === 'number' ? exp : undefined;
	} catch {
		return undefined;
	}
};

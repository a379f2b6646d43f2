/**
 * What operators do, written into the ledger of their workspace.
 * @module
 */
import type { Principal } from '../rpc.ts';
import type { AppContext } from './context.ts';
import { idempotent, workspaceOf } from './stubs.ts';

/** A person is `user:<account>`, a program `key:<id>`. */
const whoIs = ({ account, keyId }: Principal): string => (account === undefined ? `key:${keyId}` : `user:${account.id}`);

/** Who is calling, as ledger rows name it. */
export const whoOf = (c: AppContext): string => whoIs(c.get('principal'));

/**
 * Appends one row for something that was done. Called after it was done: a refusal is no action.
 * @param action dotted, like `node.pause`
 * @param target id of what it was done to
 * @param detail what a reader needs to understand it; never a secret
 * @param id of the entry: one that is among the latest ones is not written again
 */
export const recordAction = async (
	c: AppContext,
	action: string,
	target: string,
	detail: Record<string, unknown> = {},
	id: string = crypto.randomUUID(),
): Promise<void> => {
	const { ws } = c.get('principal');
	const entry = { id, who: whoOf(c), action, target, detail, traceId: c.get('traceId') };
	await idempotent(
		() => workspaceOf(c.env, ws),
		(stub) => stub.recordAction(entry),
	);
};

/**
 * What a prediction says of its own webhook: whoever waits for a call that does not come finds the reason where they look next.
 * @module
 */
import type { AppContext } from '../../lib/context.ts';
import { deliveryOf, idempotent } from '../../lib/stubs.ts';
import type { DeliveryView } from '../../delivery/rpc.ts';
import type { JobRow } from '../../rpc.ts';

/** Marks jobs whose request named a webhook, so that others need not be asked for letters. */
export const WEBHOOK_LABEL = 'webhook';

/** The host alone: the rest of an address may be a secret of its owner's. */
const hostOf = (url: string | undefined): string => (url !== undefined && URL.canParse(url) ? new URL(url).host : 'its address');

/** A line for each letter that did not get through, or not yet. Pure. */
export const letterNotes = (
	letters: readonly Pick<DeliveryView, 'id' | 'url' | 'type' | 'state' | 'attempts' | 'nextAttemptAt'>[],
): string[] =>
	letters.flatMap(({ id, url, type, state, attempts, nextAttemptAt }) => {
		const last = attempts.at(-1);
		if (state === 'delivered' || last === undefined) return [];
		const what = `webhook at ${hostOf(url)}, ${type}: ${last.error ?? 'no answer'}, after ${attempts.length} ${attempts.length === 1 ? 'try' : 'tries'}`;
		if (state === 'dead') return [`${what}; given up. POST /api/v1/webhooks/predictions/deliveries/${id}/redeliver sends it again`];
		return [`${what}${nextAttemptAt === undefined ? '' : `; next one at ${new Date(nextAttemptAt).toISOString()}`}`];
	});

/** Lines for a prediction's logs. */
export const webhookNotes = async (c: AppContext, row: JobRow): Promise<string[]> =>
	row.spec.labels?.includes(WEBHOOK_LABEL) === true
		? letterNotes(
				await idempotent(
					() => deliveryOf(c.env, row.ws),
					(stub) => stub.lettersOf(row.id),
				),
			)
		: [];

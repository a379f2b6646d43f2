/**
 * What an alert says to a person at the studio: the gateway's own words name ids and calls of the API. Pure.
 * @module
 */
import type { Alert } from '@limner/sdk';
import { rules } from '../../strings/operator.ts';

const ID = /\b[a-z]+_[0-9a-z]{20,}(?:_\d+)?\b/g;

/** The detail of an alert; `what` names ids. */
export const alertWords = ({ kind, detail }: Pick<Alert, 'kind' | 'detail'>, what: (id: string) => string): string => {
	if (kind === 'report') return rules.details.report;
	if (kind === 'queue-age') return rules.details.queueAge;
	// The rest of it names the call that lists them.
	if (kind === 'error-rate') return detail.replace(/ See GET .*$/s, '');
	return detail.replaceAll(ID, (id) => `“${what(id)}”`);
};

/** Where something can be done about it. */
export const alertPlace = (kind: Alert['kind']): '/pool/reports' | '/pool' | '/pool/usage' | undefined => {
	if (kind === 'report') return '/pool/reports';
	if (kind === 'quota') return '/pool/usage';
	return kind === 'node-offline' || kind === 'queue-age' ? '/pool' : undefined;
};

/**
 * Alerts: what somebody should look at.
 * @module
 */
import type { CallOptions, Http } from './http.ts';
import type { Alert, AlertRules, AlertRulesChange, Page, PageQuery } from './types.ts';

const ALERTS = '/api/v1/alerts';

/** Needs the scopes `supervisor:read` and, to change them, `supervisor:write`. */
export class Alerts {
	readonly #http: Http;
	constructor(http: Http) {
		this.#http = http;
	}

	/** Newest first; the gateway looks at the workspace now. */
	list(query: PageQuery & { state?: Alert['state']; severity?: Alert['severity'] } = {}, options: CallOptions = {}): Promise<Page<Alert>> {
		return this.#http.json(ALERTS, { ...options, query: { ...query } });
	}

	/** Says that somebody takes care of it: it is not escalated any more. */
	acknowledge(id: string, options: CallOptions = {}): Promise<Alert> {
		return this.#say(id, 'acknowledge', options);
	}

	/** Says that it is over. It comes back as a new alert when it is not. */
	resolve(id: string, options: CallOptions = {}): Promise<Alert> {
		return this.#say(id, 'resolve', options);
	}

	/** When alerts are raised: what holds, and what of it this workspace has set. */
	rules(options: CallOptions = {}): Promise<AlertRules> {
		return this.#http.json(`${ALERTS}/rules`, options);
	}

	/** Replaces what the workspace has set; what is left out follows the gateway. */
	setRules(own: AlertRulesChange, options: CallOptions = {}): Promise<AlertRules> {
		return this.#http.json(`${ALERTS}/rules`, { ...options, method: 'PUT', json: own });
	}

	#say(id: string, verb: string, options: CallOptions): Promise<Alert> {
		return this.#http.json(`${ALERTS}/${encodeURIComponent(id)}/${verb}`, { ...options, method: 'POST', repeatable: true });
	}
}

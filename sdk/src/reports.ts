/**
 * Reports: pictures that somebody says should not be there, and what was decided.
 * @module
 */
import type { CallOptions, Http } from './http.ts';
import type { Page, PageQuery, Report, Takedown } from './types.ts';

const REPORTS = '/api/v1/reports';
const picture = (id: string): string => `/api/v1/images/${encodeURIComponent(id)}`;

/** Reporting needs the scope `images:read`, deciding `admin`. */
export class Reports {
	readonly #http: Http;
	constructor(http: Http) {
		this.#http = http;
	}

	/** Newest first: those of the workspace, an operator's those of all. */
	list(query: PageQuery & { state?: Report['state']; workspaceId?: string } = {}, options: CallOptions = {}): Promise<Page<Report>> {
		return this.#http.json(REPORTS, { ...options, query: { ...query } });
	}

	/** Says that a picture should not be there. A second report of the same picture is the first. */
	report(imageId: string, request: { reason: Report['reason']; detail?: string }, options: CallOptions = {}): Promise<Report> {
		return this.#http.json(`${picture(imageId)}/report`, { ...options, method: 'POST', json: request, repeatable: true });
	}

	/** Removes a picture for good, and closes its reports. `reason` is told to whoever asks for it afterwards. */
	takeDown(imageId: string, request: { reason: string; workspaceId?: string }, options: CallOptions = {}): Promise<Takedown> {
		return this.#http.json(`${picture(imageId)}/takedown`, { ...options, method: 'POST', json: request });
	}

	/** Says that the picture may stay. */
	dismiss(id: string, note = '', options: CallOptions = {}): Promise<Report> {
		return this.#http.json(`${REPORTS}/${encodeURIComponent(id)}/dismiss`, { ...options, method: 'POST', json: { note } });
	}
}

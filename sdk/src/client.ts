/**
 * The client.
 * @module
 */
import { Accounts } from './accounts.ts';
import { Assets } from './assets.ts';
import { Alerts } from './alerts.ts';
import { Audit } from './audit.ts';
import { Dashboards } from './dashboard.ts';
import { JoinTokens, Models, Nodes } from './fleet.ts';
import { Gallery } from './gallery.ts';
import { Http, type CallOptions, type ClientOptions, type RequestOptions } from './http.ts';
import { Images } from './images.ts';
import { Jobs } from './jobs.ts';
import { Keys } from './keys.ts';
import { Members } from './members.ts';
import { Reports } from './reports.ts';
import { Resources } from './resources.ts';
import { Webhooks } from './webhooks.ts';
import type { Caller, Usage } from './types.ts';
import { Workflows } from './workflows.ts';
import { Workspaces } from './workspaces.ts';

/**
 * A client of one gateway.
 * @example
 * const limner = new Limner({ baseUrl: 'http://127.0.0.1:8787', apiKey });
 * const { images } = await limner.images.generate({ prompt: 'a red castle' });
 */
export class Limner {
	readonly images: Images;
	readonly jobs: Jobs;
	readonly assets: Assets;
	readonly gallery: Gallery;
	readonly models: Models;
	readonly nodes: Nodes;
	readonly joinTokens: JoinTokens;
	readonly dashboard: Dashboards;
	readonly alerts: Alerts;
	readonly audit: Audit;
	readonly keys: Keys;
	readonly resources: Resources;
	readonly webhooks: Webhooks;
	readonly members: Members;
	readonly reports: Reports;
	readonly workspaces: Workspaces;
	readonly workflows: Workflows;
	readonly accounts: Accounts;
	readonly #http: Http;
	constructor(options: ClientOptions = {}) {
		this.#http = new Http(options);
		this.jobs = new Jobs(this.#http);
		this.assets = new Assets(this.#http);
		this.images = new Images(this.jobs, this.assets);
		this.gallery = new Gallery(this.#http);
		this.models = new Models(this.#http);
		this.nodes = new Nodes(this.#http);
		this.joinTokens = new JoinTokens(this.#http);
		this.dashboard = new Dashboards(this.#http);
		this.alerts = new Alerts(this.#http);
		this.audit = new Audit(this.#http);
		this.keys = new Keys(this.#http);
		this.resources = new Resources(this.#http);
		this.webhooks = new Webhooks(this.#http);
		this.members = new Members(this.#http);
		this.reports = new Reports(this.#http);
		this.workspaces = new Workspaces(this.#http);
		this.workflows = new Workflows(this.#http);
		this.accounts = new Accounts(this.#http);
	}

	get baseUrl(): string {
		return this.#http.baseUrl;
	}

	/** Who the credential belongs to, and what it may do; answered whatever its scopes. */
	me(options: CallOptions = {}): Promise<Caller> {
		return this.#http.json('/api/v1/auth/me', options);
	}

	/** What the workspace has made and may make. */
	usage(options: CallOptions = {}): Promise<Usage> {
		return this.#http.json('/api/v1/resources/usage', options);
	}

	/** Any other path of the API, with the client's key, retries and errors. */
	request(path: string, options: RequestOptions = {}): Promise<Response> {
		return this.#http.request(path, options);
	}
}

/**
 * The client.
 * @module
 */
import { Assets } from './assets.ts';
import { Models, Nodes } from './fleet.ts';
import { Gallery } from './gallery.ts';
import { Http, type CallOptions, type ClientOptions, type RequestOptions } from './http.ts';
import { Images } from './images.ts';
import { Jobs } from './jobs.ts';
import type { Usage } from './types.ts';

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
	readonly #http: Http;
	constructor(options: ClientOptions = {}) {
		this.#http = new Http(options);
		this.jobs = new Jobs(this.#http);
		this.assets = new Assets(this.#http);
		this.images = new Images(this.jobs, this.assets);
		this.gallery = new Gallery(this.#http);
		this.models = new Models(this.#http);
		this.nodes = new Nodes(this.#http);
	}

	get baseUrl(): string {
		return this.#http.baseUrl;
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

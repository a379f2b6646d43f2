/**
 * Resources: pictures and jobs by their ids, and the view that hosts with MCP Apps draw.
 * @module
 */
import { LimnerError, MCP_LIMITS, type ImageView, type JobView } from '@limner/shared';
import { ResourceNotFoundError, ResourceTemplate, type McpServer, type ReadResourceResult } from '@modelcontextprotocol/server';
import type { Api } from './api.ts';
import { matching } from './prompts.ts';
import { generationOf, imageUri, jobUri, toBase64 } from './result.ts';
import { smallPicture } from './thumbnail.ts';
import { VIEW_HTML } from './view.ts';

export const VIEW_URI = 'ui://limner/generation.html';
const VIEW_TYPE = 'text/html;profile=mcp-app';

interface GalleryImage extends ImageView {
	jobId: string;
	prompt: string;
	createdAt: string;
}

/** The caller's latest pictures; none for a key that may not see any. */
export const recentImages = async (api: Api): Promise<GalleryImage[]> => {
	try {
		return (await api.json<{ data: GalleryImage[] }>(`/api/v1/images?limit=${MCP_LIMITS.recent}`)).data;
	} catch (error) {
		if (error instanceof LimnerError && error.code === 'forbidden') return [];
		throw error;
	}
};

const recentJobs = async (api: Api): Promise<string[]> =>
	(await api.json<{ data: JobView[] }>(`/api/v1/jobs?limit=${MCP_LIMITS.recent}`)).data.map(({ id }) => id);

/** What is not the caller's is as if it were not there. */
const found = async <T>(uri: URL, read: () => Promise<T>): Promise<T> => {
	try {
		return await read();
	} catch (error) {
		if (error instanceof LimnerError && (error.code === 'not_found' || error.code === 'gone'))
			throw new ResourceNotFoundError(uri.href, error.message);
		throw error;
	}
};

const one = (value: string | string[] | undefined): string => encodeURIComponent(String(Array.isArray(value) ? value[0] : value));

const readImage = async (api: Api, uri: URL, id: string): Promise<ReadResourceResult> => {
	const image = await api.json<GalleryImage>(`/api/v1/images/${id}/metadata`);
	const bytes = await api.bytes(`/api/v1/images/${id}`);
	const { contentType, width, height } = image;
	const picture = { bytes, contentType, width, height };
	const small = bytes.length <= MCP_LIMITS.resourceBytes ? picture : smallPicture(picture, MCP_LIMITS.viewMaxPx, MCP_LIMITS.resourceBytes);
	if (small === undefined)
		throw new LimnerError('payload_too_large', { detail: `the picture is too large for a resource; open ${image.url}` });
	return { contents: [{ uri: uri.href, mimeType: small.contentType, blob: toBase64(small.bytes) }] };
};

const addImages = (server: McpServer, api: Api): void => {
	const list = async () => ({
		resources: (await recentImages(api)).map((image) => ({
			uri: imageUri(image.id),
			name: image.id,
			title: image.prompt.slice(0, 80),
			mimeType: image.contentType,
			size: image.bytes,
			annotations: { audience: ['user' as const, 'assistant' as const], lastModified: image.createdAt },
		})),
	});
	const complete = async (typed: string): Promise<string[]> =>
		matching(
			(await recentImages(api)).map(({ id }) => id),
			typed,
		);
	server.registerResource(
		'image',
		new ResourceTemplate(imageUri('{image_id}'), { list, complete: { image_id: complete } }),
		{ title: 'Picture', description: 'The bytes of a picture', annotations: { audience: ['user', 'assistant'] } },
		(uri, { image_id }) => found(uri, () => readImage(api, uri, one(image_id))),
	);
};

const addJobs = (server: McpServer, api: Api): void => {
	const complete = async (typed: string): Promise<string[]> => matching(await recentJobs(api), typed);
	server.registerResource(
		'job',
		new ResourceTemplate(jobUri('{job_id}'), { list: undefined, complete: { job_id: complete } }),
		{ title: 'Job', description: 'State, parameters and pictures of a job', mimeType: 'application/json' },
		(uri, { job_id }) =>
			found(uri, async () => {
				const job = await api.json<JobView>(`/api/v1/jobs/${one(job_id)}`);
				return { contents: [{ uri: uri.href, mimeType: 'application/json', text: JSON.stringify(generationOf(job), null, '\t') }] };
			}),
	);
};

/**
 * Registers all resources.
 * @param base where pictures come from; the view may load them from nowhere else
 */
export const addResources = (server: McpServer, api: Api, base: string, scopes: { images: boolean; jobs: boolean }): void => {
	if (scopes.images) addImages(server, api);
	if (scopes.jobs) addJobs(server, api);
	const ui = { csp: { resourceDomains: [base], connectDomains: [] }, prefersBorder: false };
	server.registerResource(
		'generation-view',
		VIEW_URI,
		{ title: 'Pictures of a generation', mimeType: VIEW_TYPE, _meta: { ui }, cacheHint: { ttlMs: 300_000, cacheScope: 'public' } },
		(uri) => ({ contents: [{ uri: uri.href, mimeType: VIEW_TYPE, text: VIEW_HTML, _meta: { ui } }] }),
	);
};

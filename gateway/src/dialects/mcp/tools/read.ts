/**
 * `view_image`, `list_generations`, `list_models`, `get_usage`, `upload_image`.
 * @module
 */
import { MCP_LIMITS, type ImageView, type JobView, type MCP_TOOLS, type McpGeneration, type ModelView } from '@limner/shared';
import type { z } from 'zod';
import { dataResult, invalid, type ToolHandler } from '../call.ts';
import { fetchPicture, storeBytes } from '../inputs.ts';
import { generationOf, imageBlock, textOf } from '../result.ts';
import { smallPicture } from '../thumbnail.ts';

type Input<Name extends keyof typeof MCP_TOOLS> = z.output<(typeof MCP_TOOLS)[Name]['input']>;

interface ImageMetadata extends ImageView {
	jobId: string;
	prompt: string;
	model: string;
}

export const viewImage: ToolHandler<Input<'view_image'>> = async ({ image_id, max_dim }, { api }) => {
	const id = encodeURIComponent(image_id.replace(/^limner:\/\/images\//, ''));
	const [image, bytes] = await Promise.all([api.json<ImageMetadata>(`/api/v1/images/${id}/metadata`), api.bytes(`/api/v1/images/${id}`)]);
	const { contentType, width, height } = image;
	const small = smallPicture({ bytes, contentType, width, height }, max_dim, MCP_LIMITS.previewBytes);
	const told = `${image.id}: ${width}×${height}, seed ${image.seed}, model ${image.model}, "${image.prompt}". ${image.url}`;
	const structuredContent = {
		image_id: image.id,
		url: image.url,
		mime_type: contentType,
		width,
		height,
		bytes: image.bytes,
		seed: image.seed,
		sha256: image.sha256,
		expires_at: image.expiresAt,
		job_id: image.jobId,
		prompt: image.prompt,
		model: image.model,
		shown: small !== undefined,
	};
	const note = small === undefined ? ' It is too large for a result; open the link.' : '';
	return { content: [{ type: 'text', text: told + note }, ...(small === undefined ? [] : [imageBlock(small)])], structuredContent };
};

/** As many jobs from the first one on as hosts take in one result, at least one. Pure. */
export const fitList = (all: readonly McpGeneration[]): { generations: McpGeneration[]; text: string; cut: boolean } => {
	const texts: string[] = [];
	let chars = 0;
	for (const one of all) {
		const text = `${one.prompt}\n${textOf(one)}`;
		chars += JSON.stringify(one).length + JSON.stringify(text).length;
		if (texts.length > 0 && chars > MCP_LIMITS.listChars) break;
		texts.push(text);
	}
	return { generations: all.slice(0, texts.length), text: texts.join('\n\n'), cut: texts.length < all.length };
};

export const listGenerations: ToolHandler<Input<'list_generations'>> = async ({ limit, cursor, status }, { api }) => {
	const query = new URLSearchParams({ limit: String(limit) });
	if (cursor !== undefined) query.set('cursor', cursor);
	if (status !== undefined) query.set('state', status);
	const page = await api.json<{ data: JobView[]; nextCursor: string | null }>(`/api/v1/jobs?${query.toString()}`);
	const { generations, text, cut } = fitList(page.data.map((job) => generationOf(job)));
	// A cursor is the id of the last job that was shown.
	const next = cut ? (generations.at(-1)?.job_id ?? null) : page.nextCursor;
	const more = next === null ? '' : `\n\nThere are more: call again with cursor "${next}".`;
	return dataResult({ generations, next_cursor: next }, text === '' ? 'There are none.' : text + more);
};

export const listModels: ToolHandler<Input<'list_models'>> = async ({ operation }, { api }) => {
	const { data } = await api.json<{ data: ModelView[] }>('/api/v1/models');
	const fitting = data.filter((model) => operation === undefined || (model.operations as string[]).includes(operation));
	const models = fitting.map((model) => ({
		name: model.name,
		title: model.displayName,
		is_default: model.isDefault,
		warm: model.warm,
		nodes: model.nodes,
		operations: model.operations,
		width: model.nativeWidth,
		height: model.nativeHeight,
		steps: model.defaults.steps,
		guidance_scale: model.defaults.guidance,
		...(model.scope === undefined ? {} : { scope: model.scope }),
		...(model.licence === undefined ? {} : { licence: model.licence }),
	}));
	const line = (model: (typeof models)[number]): string =>
		`- ${model.name}${model.is_default ? ' (default)' : ''}: ${model.width}×${model.height}, ${model.operations.join(', ')}${model.nodes === 0 ? ', no node has it now' : ''}${model.scope === undefined ? '' : `. ${model.scope}`}`;
	return dataResult({ models }, models.length === 0 ? 'No model can do that now.' : models.map(line).join('\n'));
};

export const getUsage: ToolHandler<Input<'get_usage'>> = async (_input, { api }) =>
	dataResult(await api.json<Record<string, unknown>>('/api/v1/resources/usage'));

const bytesOfBase64 = (data: string): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(data), (char) => char.charCodeAt(0));

export const uploadImage: ToolHandler<Input<'upload_image'>> = async ({ url, data }, call) => {
	if ((url === undefined) === (data === undefined)) throw invalid('give either url or data');
	const bytes = data === undefined ? await fetchPicture(call, url ?? '') : bytesOfBase64(data);
	const asset = await storeBytes(call, bytes);
	const result = {
		asset_id: asset.id,
		mime_type: asset.contentType,
		width: asset.width,
		height: asset.height,
		bytes: asset.bytes,
		sha256: asset.sha256,
		expires_at: asset.expiresAt,
	};
	return dataResult(result, `Stored as ${asset.id} (${asset.width}×${asset.height}), to use as image or mask until ${asset.expiresAt}.`);
};

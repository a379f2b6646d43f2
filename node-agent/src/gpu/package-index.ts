/**
 * Reads a Python package index: the simple API as JSON (PEP 691) or HTML (PEP 503). Files come with their sha256.
 * @module
 */
import { UserError } from '../lib/user-error.ts';
import { unreachable } from '../models/hub.ts';
import type { HubAnswer, HubClient } from '../models/http.ts';
import { PULL_LIMITS } from '@limner/shared';
import { z } from 'zod';

export interface IndexFile {
	filename: string;
	url: string;
	sha256: string;
	/** Bytes, where the index tells. */
	size?: number;
}

const Page = z.object({
	files: z.array(
		z.object({
			filename: z.string(),
			url: z.string(),
			hashes: z.record(z.string(), z.string()).default({}),
			size: z.number().optional(),
			yanked: z.union([z.boolean(), z.string()]).default(false),
		}),
	),
});

const JSON_TYPE = 'application/vnd.pypi.simple.v1+json';

const readBody = async (answer: HubAnswer): Promise<string> => {
	const chunks: Buffer[] = [];
	let bytes = 0;
	for await (const chunk of answer.body) {
		bytes += (chunk as Buffer).length;
		if (bytes > PULL_LIMITS.apiBytes) throw new Error('the answer is far too long');
		chunks.push(chunk as Buffer);
	}
	return Buffer.concat(chunks).toString('utf8');
};

const fromJson = (text: string, base: string): IndexFile[] =>
	Page.parse(JSON.parse(text))
		.files.filter((file) => file.yanked === false && file.hashes['sha256'] !== undefined)
		.map(({ filename, url, hashes, size }) => ({
			filename,
			url: new URL(url, base).href,
			sha256: hashes['sha256'] ?? '',
			...(size === undefined ? {} : { size }),
		}));

const decode = (text: string): string => text.replaceAll('&amp;', '&').replaceAll('&#43;', '+');

/** The anchors of an HTML page; files without a sha256 in their address do not count. */
export const fromHtml = (text: string, base: string): IndexFile[] =>
	[...text.matchAll(/<a\s([^>]*)>([^<]*)<\/a>/gi)].flatMap(([, attributes = '', name = '']) => {
		const href = /href="([^"]*)"/i.exec(attributes)?.[1];
		if (href === undefined || /data-yanked/i.test(attributes)) return [];
		const url = new URL(decode(href), base);
		const sha256 = /^#sha256=([0-9a-f]{64})$/.exec(url.hash)?.[1];
		url.hash = '';
		return sha256 === undefined ? [] : [{ filename: decode(name.trim()), url: url.href, sha256 }];
	});

/**
 * Every file of a project.
 * @param index address of the simple API
 * @throws {UserError} when the index cannot be reached or has no such project
 */
export const projectFiles = async (client: HubClient, index: string, project: string): Promise<IndexFile[]> => {
	const address = `${index.replace(/\/+$/, '')}/${project}/`;
	let answer: HubAnswer;
	let text: string;
	try {
		answer = await client.get(address, { accept: `${JSON_TYPE}, text/html;q=0.5` });
		text = await readBody(answer);
	} catch (error) {
		throw unreachable(new URL(index).origin, error, client.mirror);
	}
	if (answer.status !== 200) {
		throw new UserError(
			`${new URL(index).origin} answers ${answer.status} for the package ${project}; try again, or name another index with --index.`,
		);
	}
	return (answer.headers['content-type'] ?? '').includes('json') ? fromJson(text, address) : fromHtml(text, address);
};

/** Numbers of a version, for comparison. */
const parts = (version: string): number[] => version.split('.').map((part) => Number.parseInt(part, 10) || 0);

const compare = (a: string, b: string): number => {
	const [left, right] = [parts(a), parts(b)];
	for (let i = 0; i < Math.max(left.length, right.length); i++) {
		const difference = (left[i] ?? 0) - (right[i] ?? 0);
		if (difference !== 0) return difference;
	}
	return 0;
};

/** Name, version and platform of a wheel (PEP 427). */
const WHEEL = /^([^-]+)-([^-]+)(?:-\d[^-]*)?-([^-]+)-([^-]+)-([^-]+)\.whl$/;

/**
 * The newest released wheel for Linux on x64 whose version begins as wanted.
 * @param version exact, or a prefix that ends with a dot
 */
export const newestWheel = (files: readonly IndexFile[], version: string): (IndexFile & { version: string }) | undefined => {
	const fits = (found: string): boolean => (version.endsWith('.') ? found.startsWith(version) : found === version);
	return files
		.flatMap((file) => {
			const match = WHEEL.exec(file.filename);
			const [, , found = '', , , platform = ''] = match ?? [];
			const released = /^\d+(\.\d+)*(\.post\d+)?$/.test(found);
			return match !== null && released && fits(found) && /manylinux\S*_x86_64/.test(platform) ? [{ ...file, version: found }] : [];
		})
		.toSorted((a, b) => compare(b.version, a.version) || b.filename.localeCompare(a.filename))[0];
};

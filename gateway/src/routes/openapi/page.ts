/**
 * `/docs`: a page that lists the operations, with nothing from elsewhere and no script.
 * @module
 */
import { createHash } from 'node:crypto';
import type { OpenApiDocument } from './document.ts';

const STYLE = `
:root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:0}h2{margin:2rem 0 .5rem;text-transform:capitalize}
details{border:1px solid #8884;border-radius:6px;margin:.4rem 0;padding:.4rem .7rem}
summary{cursor:pointer}code{font:13px ui-monospace,monospace}
b.m{display:inline-block;min-width:4.5em;font:600 12px ui-monospace,monospace}
table{border-collapse:collapse;margin:.4rem 0}td{padding:.1rem .8rem .1rem 0;vertical-align:top}
.dim{opacity:.7}
`;

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escape = (text: string): string => text.replaceAll(/[&<>"']/g, (char) => ESCAPES[char] ?? char);

/** Content-Security-Policy of the page: its one style, nothing else. */
export const docsPolicy = (): string =>
	`default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; frame-ancestors 'none'`;

interface Operation {
	summary?: string;
	description?: string;
	tags?: string[];
	security?: Record<string, string[]>[];
	responses?: Record<string, { description?: string }>;
	parameters?: { name?: string; in?: string; required?: boolean }[];
}

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const;

interface Entry {
	path: string;
	method: string;
	operation: Operation;
}

const entriesOf = (document: OpenApiDocument): Entry[] =>
	Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
		METHODS.flatMap((method) => {
			const operation = (item as Partial<Record<string, Operation>>)[method];
			return operation === undefined ? [] : [{ path, method, operation }];
		}),
	);

const rows = (cells: readonly (readonly [string, string])[]): string =>
	`<table>${cells.map(([key, value]) => `<tr><td><code>${escape(key)}</code></td><td>${escape(value)}</td></tr>`).join('')}</table>`;

const section = ({ path, method, operation }: Entry): string => {
	const scopes = (operation.security ?? []).flatMap((requirement) =>
		Object.entries(requirement).map(([scheme, list]) => [scheme, ...list].join(' ')),
	);
	const parameters = (operation.parameters ?? []).map(({ name = '', in: where = '', required }): readonly [string, string] => [
		name,
		`${where}${required === true ? ', required' : ''}`,
	]);
	const responses = Object.entries(operation.responses ?? {}).map(([status, { description = '' }]): readonly [string, string] => [
		status,
		description,
	]);
	return [
		`<details><summary><b class="m">${method.toUpperCase()}</b><code>${escape(path)}</code> <span class="dim">${escape(operation.summary ?? '')}</span></summary>`,
		operation.description === undefined ? '' : `<p>${escape(operation.description)}</p>`,
		scopes.length === 0 ? '' : `<p class="dim">Needs: ${escape(scopes.join(', or '))}</p>`,
		parameters.length === 0 ? '' : rows(parameters),
		rows(responses),
		'</details>',
	].join('');
};

/** The page. */
export const docsPage = (document: OpenApiDocument): string => {
	const entries = entriesOf(document);
	const tags = (document.tags ?? []).map(({ name, description = '' }) => ({
		name,
		description,
		entries: entries.filter(({ operation }) => operation.tags?.includes(name) === true),
	}));
	const body = tags
		.filter((tag) => tag.entries.length > 0)
		.map((tag) => `<h2>${escape(tag.name)}</h2><p class="dim">${escape(tag.description)}</p>${tag.entries.map(section).join('')}`)
		.join('');
	const { title, version, description = '' } = document.info;
	return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escape(title)} API</title><style>${STYLE}</style></head><body><h1>${escape(title)} ${escape(version)}</h1><p>${escape(description)} The schemas are in <a href="/openapi.json">openapi.json</a>.</p>${body}</body></html>`;
};

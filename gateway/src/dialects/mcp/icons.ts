/**
 * Icons of the server and its tools: small drawings as data, so that a host needs no further request.
 * @module
 */
import type { Icon } from '@modelcontextprotocol/server';

const svg = (paths: string): Icon[] => {
	const text = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#7c5cff" stroke-width="2" stroke-linecap="round" stroke-linejoin="round">${paths}</svg>`;
	return [{ src: `data:image/svg+xml;base64,${btoa(text)}`, mimeType: 'image/svg+xml', sizes: ['any'] }];
};

const FRAME = '<rect x="3" y="4" width="18" height="16" rx="2"/>';

export const SERVER_ICONS = svg(`${FRAME}<circle cx="8.5" cy="9.5" r="1.5"/><path d="M21 16l-5-5-9 9"/>`);

const DRAWN: Record<string, Icon[]> = {
	generate_image: svg('<path d="M12 3l2 6 6 2-6 2-2 6-2-6-6-2 6-2z"/>'),
	get_generation: svg('<circle cx="12" cy="12" r="9"/><path d="M12 7v5l3 3"/>'),
	regenerate: svg('<path d="M20 12a8 8 0 1 1-2.3-5.7"/><path d="M20 3v5h-5"/>'),
	view_image: svg('<path d="M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12z"/><circle cx="12" cy="12" r="3"/>'),
	cancel_generation: svg('<circle cx="12" cy="12" r="9"/><path d="M9 9l6 6M15 9l-6 6"/>'),
	list_generations: svg(
		'<rect x="3" y="3" width="7" height="7"/><rect x="14" y="3" width="7" height="7"/><rect x="3" y="14" width="7" height="7"/><rect x="14" y="14" width="7" height="7"/>',
	),
	upload_image: svg('<path d="M12 16V4M7 9l5-5 5 5"/><path d="M4 16v4h16v-4"/>'),
	list_models: svg('<path d="M12 3l9 5-9 5-9-5z"/><path d="M3 13l9 5 9-5"/>'),
	get_usage: svg('<path d="M4 20V10M10 20V4M16 20v-8M22 20H2"/>'),
	submit_workflow: svg(
		'<circle cx="6" cy="6" r="3"/><circle cx="18" cy="12" r="3"/><circle cx="6" cy="18" r="3"/><path d="M9 7l6 4M9 17l6-4"/>',
	),
};
const OPERATOR = svg('<circle cx="12" cy="12" r="3"/><path d="M12 2v4M12 18v4M2 12h4M18 12h4M5 5l3 3M16 16l3 3M5 19l3-3M16 8l3-3"/>');

export const iconsOf = (tool: string): Icon[] => DRAWN[tool] ?? OPERATOR;

/**
 * The view of a generation for hosts that draw MCP Apps (extension `io.modelcontextprotocol/ui`, 2026-01-26): pictures,
 * progress, "another one". One file without a library: a host's sandbox loads nothing but our pictures. Everything that
 * comes in is shown as text, never as markup.
 * @module
 */

const STYLE = `
:root { color-scheme: light dark; font: 14px/1.4 system-ui, sans-serif; }
body { margin: 0; padding: 12px; }
#pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(120px, 1fr)); gap: 8px; }
figure { margin: 0; }
img { width: 100%; max-height: 340px; object-fit: contain; border-radius: 8px; display: block; cursor: zoom-in; background: #8882; }
figcaption { font-size: 12px; opacity: .7; }
progress { width: 100%; height: 8px; }
p { margin: 0 0 8px; overflow-wrap: anywhere; }
.bar { display: flex; gap: 8px; align-items: center; margin-top: 8px; flex-wrap: wrap; }
button { font: inherit; padding: 4px 12px; border-radius: 6px; border: 1px solid #8888; background: #8881; color: inherit; cursor: pointer; }
button:focus-visible, img:focus-visible { outline: 2px solid #7c5cff; outline-offset: 2px; }
button:disabled { opacity: .5; cursor: default; }
#note { font-size: 12px; opacity: .7; }
`;

const SCRIPT = `
const pending = new Map();
let lastId = 0;
const post = (message) => parent.postMessage({ jsonrpc: '2.0', ...message }, '*');
const request = (method, params) => new Promise((resolve, reject) => {
	const id = ++lastId;
	pending.set(id, { resolve, reject });
	post({ id, method, params });
});
const notify = (method, params) => post({ method, params });
const byId = (id) => document.getElementById(id);
let current;
let timer;

const resize = () => notify('ui/notifications/size-changed', { width: document.documentElement.scrollWidth, height: Math.min(500, document.body.scrollHeight + 4) });
const openLink = (url) => request('ui/open-link', { url }).catch(() => {});

const figureOf = (image) => {
	const figure = document.createElement('figure');
	const picture = document.createElement('img');
	picture.src = image.url;
	picture.alt = current.prompt;
	picture.tabIndex = 0;
	picture.addEventListener('click', () => openLink(image.url));
	picture.addEventListener('keydown', (event) => { if (event.key === 'Enter') openLink(image.url); });
	picture.addEventListener('load', resize);
	const caption = document.createElement('figcaption');
	caption.textContent = image.width + '\\u00d7' + image.height + ', seed ' + image.seed;
	figure.append(picture, caption);
	return figure;
};

const WORDS = { waiting: 'Waiting', queued: 'In the queue', running: 'Being made', succeeded: '', failed: 'It failed', canceled: 'Cancelled', expired: 'It expired' };

const show = (one) => {
	current = one;
	const open = one.poll_after_seconds !== undefined;
	byId('prompt').textContent = one.prompt;
	byId('pictures').replaceChildren(...one.images.map(figureOf));
	byId('progress').hidden = !open;
	byId('progress').value = one.progress;
	const place = one.queue_position === undefined ? '' : ', position ' + one.queue_position;
	byId('note').textContent = open || one.error ? (WORDS[one.status] || one.status) + place + (one.error ? ': ' + one.error.message : '') : one.model;
	byId('again').hidden = open;
	byId('stop').hidden = !open;
	clearTimeout(timer);
	if (open) timer = setTimeout(poll, Math.max(1, one.poll_after_seconds) * 1000);
	resize();
};

const call = async (name, args) => {
	const result = await request('tools/call', { name, arguments: args });
	if (result.structuredContent && result.structuredContent.job_id) show(result.structuredContent);
	else if (result.isError) byId('note').textContent = (result.content.find((block) => block.type === 'text') || {}).text || 'It did not work';
};
const busy = (button, work) => async () => {
	button.disabled = true;
	try { await work(); } catch (error) { byId('note').textContent = String(error.message || error); }
	button.disabled = false;
};
const poll = () => call('get_generation', { job_id: current.job_id, wait_seconds: 20, preview: 'none' }).catch(() => { timer = setTimeout(poll, 10000); });
byId('again').addEventListener('click', busy(byId('again'), () => call('regenerate', { id: current.job_id, wait_seconds: 0, preview: 'none' })));
byId('stop').addEventListener('click', busy(byId('stop'), () => call('cancel_generation', { job_id: current.job_id })));

addEventListener('message', ({ source, data }) => {
	if (source !== parent || !data || data.jsonrpc !== '2.0') return;
	if (data.method === undefined) {
		const waiting = pending.get(data.id);
		pending.delete(data.id);
		if (waiting) data.error ? waiting.reject(data.error) : waiting.resolve(data.result);
	} else if (data.method === 'ui/notifications/tool-result') {
		const one = data.params && data.params.structuredContent;
		if (one && one.job_id) show(one);
	} else if (data.method === 'ui/notifications/tool-input') {
		const args = (data.params && data.params.arguments) || {};
		if (!current && args.prompt) { byId('prompt').textContent = args.prompt; byId('note').textContent = 'Being made'; resize(); }
	} else if (data.id !== undefined) {
		// Pings, and the host's wish to take the view down: nothing has to be saved.
		clearTimeout(data.method === 'ui/resource-teardown' ? timer : undefined);
		post({ id: data.id, result: {} });
	}
});
request('ui/initialize', { protocolVersion: '2026-01-26', appInfo: { name: 'limner', version: '1' }, appCapabilities: {} })
	.then(() => { notify('ui/notifications/initialized', {}); resize(); });
`;

/** The page. */
export const VIEW_HTML = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Limner</title><style>${STYLE}</style></head>
<body>
<p id="prompt"></p>
<div id="pictures"></div>
<progress id="progress" max="100" value="0" hidden aria-label="progress"></progress>
<div class="bar"><button id="again" type="button" hidden>Another one</button><button id="stop" type="button" hidden>Cancel</button><span id="note" role="status"></span></div>
<script>${SCRIPT}</script>
</body>
</html>
`;

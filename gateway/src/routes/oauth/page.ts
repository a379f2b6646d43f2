/**
 * The pages of `/oauth/authorize`: signing in, and allowing. Plain HTML without a script.
 * @module
 */
import { createHash } from 'node:crypto';
import { SCOPE_TEXTS } from './metadata.ts';

const STYLE = `
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:26rem;margin:8vh auto;padding:0 1rem}
h1{font-size:1.3rem;overflow-wrap:anywhere}label{display:block;margin:.8rem 0 .2rem}
input,select{box-sizing:border-box;width:100%;padding:.5rem;font:inherit;border:1px solid #8889;border-radius:6px}
.acts{display:flex;gap:.6rem;margin:1.4rem 0}button{flex:1;padding:.6rem;font:inherit;border:1px solid #8889;border-radius:6px;cursor:pointer}
button.yes{background:#2457d6;border-color:#2457d6;color:#fff}
.bad{border-left:4px solid #c22;padding:.3rem .7rem}.dim{opacity:.75;font-size:.9rem;overflow-wrap:anywhere}
`;

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escape = (text: string): string => text.replaceAll(/[&<>"']/g, (char) => ESCAPES[char] ?? char);

/**
 * Where a form may lead. Browsers hold redirects after it to this too, so that the client's address must be in it.
 * A policy cannot name an IPv6 address, nor the host of an app's own scheme.
 */
const formTarget = (redirect: string): string => {
	const { protocol, hostname, origin } = new URL(redirect);
	return origin === 'null' || hostname.startsWith('[') ? protocol : origin;
};

/** Headers of a page. The browser must say where a form comes from, so the referrer policy is not `no-referrer`. */
export const pageHeaders = (redirect?: string): Record<string, string> => {
	const style = createHash('sha256').update(STYLE).digest('base64');
	const target = redirect === undefined ? "'none'" : `'self' ${formTarget(redirect)}`;
	return {
		'Content-Security-Policy': `default-src 'none'; style-src 'sha256-${style}'; form-action ${target}; base-uri 'none'; frame-ancestors 'none'`,
		'Referrer-Policy': 'same-origin',
		'Cache-Control': 'no-store',
	};
};

const page = (title: string, body: string): string =>
	`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="robots" content="noindex"><title>${escape(title)}</title><style>${STYLE}</style></head><body><main>${body}</main></body></html>`;

const hidden = (name: string, value: string): string => `<input type="hidden" name="${name}" value="${escape(value)}">`;
const notice = (text: string | undefined): string => (text === undefined ? '' : `<p class="bad" role="alert">${escape(text)}</p>`);

export interface ClientView {
	name: string;
	/** Where the answer goes. */
	redirect: string;
	/** Its id, an address when a host vouches for it. */
	id: string;
}

/** Host of an address, or the scheme of a program on this machine. */
const placeOf = (redirect: string): string => {
	const { protocol, host } = new URL(redirect);
	return /^https?:$/.test(protocol) ? host : `a program on this device (${protocol}//${host})`;
};

const who = ({ redirect, id }: ClientView): string => {
	const vouched = /^https:/i.test(id) ? `It is the program of <b>${escape(new URL(id).host)}</b>.` : 'Nobody has checked its name.';
	return `<p class="dim">${vouched} You will be sent to <b>${escape(placeOf(redirect))}</b>. Go on only if you have just started this there.</p>`;
};

/** The first page: e-mail address and password. */
export const signInPage = (client: ClientView, request: string, problem?: string, email = ''): string =>
	page(
		'Sign in to Limner',
		`<h1>Sign in to let “${escape(client.name)}” use Limner</h1>${who(client)}${notice(problem)}
<form method="post" action="/oauth/authorize">${hidden('request', request)}
<label for="email">E-mail address</label><input id="email" name="email" type="email" autocomplete="username" required value="${escape(email)}">
<label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required>
<div class="acts"><button name="decision" value="sign-in" class="yes">Sign in</button><button name="decision" value="deny" formnovalidate>Cancel</button></div></form>`,
	);

export interface WorkspaceChoice {
	ws: string;
	role: string;
}

/** The second page: which workspace, and what the client may do there. */
export const consentPage = (
	client: ClientView,
	consent: string,
	scopes: readonly string[],
	workspaces: readonly WorkspaceChoice[],
): string =>
	page(
		'Allow access to Limner',
		`<h1>Let “${escape(client.name)}” use your workspace?</h1>${who(client)}
<form method="post" action="/oauth/authorize">${hidden('consent', consent)}
<p>It will be able to:</p><ul>${scopes.map((scope) => `<li>${escape(SCOPE_TEXTS[scope] ?? scope)} <span class="dim">(${escape(scope)})</span></li>`).join('')}</ul>
<label for="workspace">Workspace</label><select id="workspace" name="workspace">${workspaces
			.map(({ ws, role }) => `<option value="${escape(ws)}">${escape(ws)} (${escape(role)})</option>`)
			.join('')}</select>
<p class="dim">Never more than your role there allows. You can end this at any time where your sessions are listed.</p>
<div class="acts"><button name="decision" value="allow" class="yes">Allow</button><button name="decision" value="deny">Deny</button></div></form>`,
	);

/** What cannot go on, and is not told to the client. */
export const errorPage = (text: string): string => page('This cannot go on', `<h1>This cannot go on</h1>${notice(text)}`);

/**
 * `/oauth/authorize`: from a client's request over the password and the consent of a person to an authorization code.
 *
 * There is no cookie. What one page knows reaches the next as a signed ticket in its form, so a page of somebody else can
 * act for nobody; that the form came from our own page is asked besides, so that nobody is signed in as another.
 * @module
 */
import { LimnerError, narrowScopes, OAUTH_LIMITS as L, toError, type OAuthConsentTicket, type OAuthRequestTicket } from '@limner/shared';
import { memberPrincipal, provePassword } from '../../account/service.ts';
import { addressOf, issuerOf } from '../../lib/auth.ts';
import type { AppContext } from '../../lib/context.ts';
import { normalise } from '../../lib/problem.ts';
import { signClaims, verifyClaims } from '../../lib/sign.ts';
import { accountOf } from '../../lib/stubs.ts';
import { Email } from '../auth/schema.ts';
import { findClient, mayRedirect, type OAuthClient } from './client.ts';
import { readForm } from './form.ts';
import { resourceOf } from './metadata.ts';
import { consentPage, errorPage, pageHeaders, signInPage, type ClientView } from './page.ts';
import { readRequest } from './request.ts';

type Asked = OAuthRequestTicket | OAuthConsentTicket;

const viewOf = ({ name, redirect, client }: Asked): ClientView => ({ name, redirect, id: client });

const refusePage = (c: AppContext, text: string, status: 400 | 403 | 429 = 400): Response => c.html(errorPage(text), status, pageHeaders());

/** Sends the person back to the client. `iss` tells it who answers (RFC 9207). */
const sendBack = (c: AppContext, { redirect, state }: Pick<Asked, 'redirect' | 'state'>, answer: Record<string, string>): Response => {
	const url = new URL(redirect);
	for (const [name, value] of Object.entries(answer)) url.searchParams.set(name, value);
	if (state !== '') url.searchParams.set('state', state);
	url.searchParams.set('iss', issuerOf(c));
	return new Response(null, { status: 303, headers: { ...pageHeaders(redirect), Location: url.href } });
};

const denied = (c: AppContext, asked: Asked): Response =>
	sendBack(c, asked, { error: 'access_denied', error_description: 'the person said no' });

/** The one address of the request that the client may be answered at. */
const redirectOf = (client: OAuthClient, query: URLSearchParams): string | undefined => {
	const given = query.getAll('redirect_uri');
	const [wanted] = given.length === 0 && client.redirects.length === 1 ? client.redirects : given;
	return given.length < 2 && wanted !== undefined && mayRedirect(client, wanted) ? wanted : undefined;
};

const limitAddress = async (c: AppContext): Promise<boolean> => (await c.env.ADDRESS_LIMIT.limit({ key: addressOf(c) })).success;

/** `GET`: checks the request and shows the sign-in page. */
export const beginAuthorization = async (c: AppContext): Promise<Response> => {
	if (!(await limitAddress(c))) return refusePage(c, 'Too many requests from your address; try again in a minute.', 429);
	const query = new URL(c.req.url).searchParams;
	const ids = query.getAll('client_id');
	const found = await findClient(c.env.LIMNER_SECRET, ids.length === 1 ? (ids[0] ?? '') : '', Date.now());
	if (!found.ok) return refusePage(c, `The program that sent you here cannot be used: ${found.why}.`);
	const redirect = redirectOf(found.client, query);
	// Nobody is sent to an address that the client has not named before: the code would go to whoever wrote the link.
	if (redirect === undefined)
		return refusePage(c, 'The program that sent you here wants the answer at an address that it has not registered.');
	const resource = resourceOf(issuerOf(c));
	const read = readRequest(query, resource);
	if (!read.ok) return sendBack(c, { redirect, state: query.get('state') ?? '' }, { error: read.error, error_description: read.why });
	const ticket: OAuthRequestTicket = {
		k: 'oauth-request',
		client: found.client.id,
		name: found.client.name,
		redirect,
		...read.request,
		resource,
		exp: Date.now() + L.pageTtlMs,
	};
	return c.html(signInPage(viewOf(ticket), signClaims(c.env.LIMNER_SECRET, ticket)), 200, pageHeaders(redirect));
};

/** Whether a form was sent by a page of this gateway. */
const isOwnPage = (c: AppContext): boolean => {
	const origin = c.req.header('origin');
	const site = c.req.header('sec-fetch-site');
	const own = [new URL(issuerOf(c)).origin, new URL(c.req.url).origin];
	return (origin === undefined || own.includes(origin)) && (site === undefined || site === 'same-origin');
};

const retryHeaders = (error: LimnerError): Record<string, string> =>
	error.retryAfterS === undefined ? {} : { 'Retry-After': String(Math.ceil(error.retryAfterS)) };

/** The sign-in page was sent: the consent page, or the same page with what was wrong. */
const afterSignIn = async (c: AppContext, form: URLSearchParams, asked: OAuthRequestTicket): Promise<Response> => {
	const typed = form.get('email') ?? '';
	const email = Email.safeParse(typed);
	let account: string;
	try {
		if (!email.success) throw new LimnerError('unauthorized', { detail: 'the e-mail address or the password is wrong' });
		account = await provePassword(c, email.data, (form.get('password') ?? '').slice(0, 1000));
	} catch (error) {
		const known = error instanceof LimnerError ? error : normalise(error);
		if (known.status >= 500) throw error;
		const again = signInPage(viewOf(asked), form.get('request') ?? '', `Not signed in: ${known.message}.`, typed.slice(0, 300));
		return c.html(again, known.status === 429 ? 429 : 401, { ...pageHeaders(asked.redirect), ...retryHeaders(known) });
	}
	const workspaces = await accountOf(c.env, account).memberships();
	if (workspaces.length === 0) return refusePage(c, 'You are in no workspace. Ask somebody to invite you to theirs.', 403);
	const consent = signClaims(c.env.LIMNER_SECRET, { ...asked, k: 'oauth-consent', account });
	return c.html(consentPage(viewOf(asked), consent, asked.scopes, workspaces), 200, pageHeaders(asked.redirect));
};

/** The consent page was sent: the code goes to the client. */
const afterConsent = async (c: AppContext, form: URLSearchParams, asked: OAuthConsentTicket): Promise<Response> => {
	if (form.get('decision') !== 'allow') return denied(c, asked);
	const ws = form.get('workspace') ?? '';
	const member = await memberPrincipal(c, ws, asked.account);
	if (!member.ok) return refusePage(c, 'You are not in this workspace.', 403);
	const scopes = narrowScopes(member.principal.scopes, asked.scopes);
	if (scopes.length === 0) return sendBack(c, asked, { error: 'invalid_scope', error_description: 'the role allows none of the scopes' });
	const made = await accountOf(c.env, asked.account).createCode({
		grant: { clientId: asked.client, clientName: asked.name, resource: asked.resource, ws, scopes },
		redirectUri: asked.redirect,
		challenge: asked.challenge,
	});
	if (!made.ok) throw toError(made);
	return sendBack(c, asked, { code: made.code });
};

/** `POST`: either page was sent. */
export const continueAuthorization = async (c: AppContext): Promise<Response> => {
	if (!isOwnPage(c)) return refusePage(c, 'This form was not sent from this page. Start again in the program.', 403);
	const form = await readForm(c.req.raw);
	if (!form.ok) return refusePage(c, `The form cannot be read: ${form.why}.`);
	const secret = c.env.LIMNER_SECRET;
	const consent = verifyClaims(secret, 'oauth-consent', form.values.get('consent') ?? '', Date.now());
	if (consent.ok) return afterConsent(c, form.values, consent.claims);
	const request = verifyClaims(secret, 'oauth-request', form.values.get('request') ?? '', Date.now());
	if (!request.ok) return refusePage(c, 'This page is too old. Start again in the program.');
	return form.values.get('decision') === 'deny' ? denied(c, request.claims) : afterSignIn(c, form.values, request.claims);
};

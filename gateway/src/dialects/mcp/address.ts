/**
 * Who may talk to this endpoint from where: the checks against DNS rebinding and pages of strangers. Pure.
 * @module
 */

const LOCAL = /^(?:localhost|.+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])$/i;
/** Addresses by number, names of a local network, and names that only their provider can give: none can be rebound. */
const FIXED = /^(?:\[[0-9a-f:.]+\]|\d{1,3}(?:\.\d{1,3}){3}|[^.]+|.+\.(?:local|lan|internal|home\.arpa|workers\.dev))$/i;

const hostOf = (url: string): string | undefined => (URL.canParse(url) ? new URL(url).hostname : undefined);

/** Whether a request for this host is for us. With `PUBLIC_URL` set, its host counts, and addresses that nobody can rebind. */
export const hostAllowed = (hostname: string, publicUrl: string): boolean =>
	hostname === hostOf(publicUrl) || LOCAL.test(hostname) || FIXED.test(hostname);

const listed = (text: string): string[] => text.split(/[\s,]+/).filter((part) => part !== '');

/**
 * Whether a page of this origin may call: pages of the gateway itself, of the same machine, and those of `allowed`.
 * @param allowed origins, separated by spaces, e.g. `https://chat.example`
 */
export const originAllowed = (origin: string, own: string, allowed: string): boolean => {
	if (listed(allowed).includes(origin)) return true;
	const hostname = hostOf(origin);
	return hostname !== undefined && (origin === own || LOCAL.test(hostname));
};

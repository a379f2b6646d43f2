/**
 * Links that sign somebody in, let them join a workspace, or set a new password. What they carry stands behind the `#`.
 * @module
 */
import { createValue } from '../../lib/value.ts';

export type Link = { kind: 'key' | 'invitation' | 'reset'; code: string };

/** What `#key=…`, `#invitation=…` or `#reset=…` of an address means. */
export const parseLink = (hash: string): Link | undefined => {
	const found = /^#(key|invitation|reset)=(.+)$/.exec(hash);
	return found?.[1] === undefined || found[2] === undefined
		? undefined
		: { kind: found[1] as Link['kind'], code: decodeURIComponent(found[2]) };
};

/** The code of an invitation from what a person pasted: the link, or the code itself. */
export const invitationCode = (text: string): string | undefined => {
	const hash = text.indexOf('#');
	const found = hash < 0 ? undefined : parseLink(text.slice(hash).trim());
	const code = found === undefined ? text.trim() : found.kind === 'invitation' ? found.code : '';
	return /^li_[\w-]+$/.test(code) ? code : undefined;
};

/** The link that was followed, until it is used or put aside. */
export const followed = createValue<Link | undefined>(undefined);

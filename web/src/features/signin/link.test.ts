import { describe, expect, it } from 'vitest';
import { invitationCode, parseLink } from './link.ts';

const CODE = 'li_studio_0123456789abcdefgh';

describe('links', () => {
	it('reads keys, invitations and resets, and nothing else', () => {
		expect(parseLink(`#invitation=${CODE}`)).toEqual({ kind: 'invitation', code: CODE });
		expect(parseLink('#key=lk_a%2Fb')).toEqual({ kind: 'key', code: 'lk_a/b' });
		expect(parseLink('#reset=lp_x')).toEqual({ kind: 'reset', code: 'lp_x' });
		expect(parseLink('#/gallery')).toBeUndefined();
		expect(parseLink('#invitation=')).toBeUndefined();
	});

	it('takes an invitation as a link or as its code', () => {
		expect(invitationCode(` ${CODE}\n`)).toBe(CODE);
		expect(invitationCode(`https://limner.example/#invitation=${CODE}`)).toBe(CODE);
		expect(invitationCode('https://limner.example/#reset=lp_x')).toBeUndefined();
		expect(invitationCode('https://limner.example/')).toBeUndefined();
		expect(invitationCode('lk_main_x')).toBeUndefined();
	});
});

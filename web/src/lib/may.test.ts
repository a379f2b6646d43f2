import { hasScope, SCOPES } from '@limner/shared';
import { describe, expect, it } from 'vitest';
import { mayDo } from './may.ts';

describe('what a caller may do', () => {
	it.each([[['admin']], [['owner', 'admin']], [['jobs:read']], [['operator']], [[]]])(
		'is what the gateway says, with %j',
		(scopes: string[]) => {
			const all = [...SCOPES, 'owner', 'account', 'operator'];
			expect(all.map((scope) => mayDo(scopes, scope))).toEqual(all.map((scope) => hasScope(scopes, scope)));
		},
	);
});

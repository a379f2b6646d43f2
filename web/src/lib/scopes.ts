/**
 * What the signed-in key or person may do, so that pages can say why a button is off instead of failing.
 * @module
 */
import type { Caller } from '@limner/sdk';
import { useQuery } from '@tanstack/react-query';
import { p } from '../strings/pool.ts';
import { mayDo } from './may.ts';
import { client } from './session.ts';

const ME_MS = 30_000;

export const useMe = (): Caller | undefined =>
	useQuery({ queryKey: ['me'], queryFn: ({ signal }) => client.me({ signal }), staleTime: ME_MS, refetchInterval: ME_MS }).data;

/** Whether a scope is there; while that is not known yet, yes: the gateway decides anyway. */
export const useMay = (scope: string): boolean => {
	const me = useMe();
	return me === undefined || mayDo(me.scopes, scope);
};

/** Why something is off, or nothing. `''` needs no scope. */
export const useWhyNot = (scope: string): string | undefined => (useMay(scope) || scope === '' ? undefined : `${p.common.needs} ${scope}.`);

/**
 * The client that hooks use.
 * @module
 */
import { createContext, createElement, useContext, type ReactElement, type ReactNode } from 'react';
import type { Limner } from '../client.ts';

const Context = createContext<Limner | undefined>(undefined);

/** Gives all hooks below it their client. */
export const LimnerProvider = ({ client, children }: { client: Limner; children?: ReactNode }): ReactElement =>
	createElement(Context.Provider, { value: client }, children);

/**
 * The client of the nearest `LimnerProvider`.
 * @throws when there is none
 */
export const useLimner = (): Limner => {
	const client = useContext(Context);
	if (client === undefined) throw new Error('wrap the component in <LimnerProvider client={…}>');
	return client;
};

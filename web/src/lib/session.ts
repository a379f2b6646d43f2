/**
 * Who is signed in, and the client that calls the gateway for them.
 * @module
 */
import { ApiError, Limner } from '@limner/sdk';
import { createStored } from './value.ts';

/** The API key, kept in this browser until somebody signs out. */
export const apiKey = createStored<string | undefined>('limner.key', undefined);

export const client = new Limner({ apiKey: () => apiKey.get() });

/** Whether the gateway takes `key`; throws what it says when it does not. */
export const signIn = async (key: string): Promise<void> => {
	const trial = new Limner({ apiKey: key, maxTries: 2 });
	await trial.models.list();
	apiKey.set(key);
};

export const signOut = (): void => apiKey.set(undefined);

/** A refused key signs out, so that the page asks for another instead of failing everywhere. */
export const onFailure = (error: unknown): void => {
	if (error instanceof ApiError && error.status === 401) signOut();
};

/**
 * E-mail addresses as names of accounts.
 * @module
 */
import { createHash } from 'node:crypto';
import { base32 } from '@limner/shared';

/** The form by which two addresses are the same account. */
export const normaliseEmail = (email: string): string => email.trim().normalize('NFKC').toLowerCase();

/** SHA-256 of the lower-cased address in base32, with a prefix. It is also the name of the Durable Object. */
export const accountIdOf = (email: string): string => `acct_${base32(createHash('sha256').update(normaliseEmail(email)).digest())}`;

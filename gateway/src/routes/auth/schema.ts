/**
 * Requests and answers of sign-in and accounts.
 * @module
 */
import { z } from '@hono/zod-openapi';
import { ACCOUNT_LIMITS as L, ROLES, SCOPES, WORKSPACE_ID_PATTERN } from '@limner/shared';
import { normaliseEmail } from '../../account/email.ts';

export const Email = z
	.email()
	.max(L.emailChars)
	.transform(normaliseEmail)
	.openapi({ type: 'string', format: 'email', example: 'ada@example.com' });
export const NewPassword = z.string().min(L.passwordMinChars).max(L.passwordMaxChars).openapi({ example: 'correct horse battery' });
const Password = z.string().min(1).max(L.passwordMaxChars).openapi({ example: 'correct horse battery' });
export const WorkspaceId = z.string().regex(WORKSPACE_ID_PATTERN, 'must be a workspace id: lower-case letters, digits and dashes');
const Scopes = z
	.array(z.enum(SCOPES))
	.min(1)
	.max(SCOPES.length)
	.openapi({ example: ['jobs:read', 'jobs:write'] });

export const AccountSchema = z
	.object({ id: z.string(), email: z.string(), name: z.string(), createdAt: z.iso.datetime() })
	.openapi('Account');

export const MembershipSchema = z
	.object({ workspaceId: z.string(), role: z.enum(ROLES), joinedAt: z.iso.datetime() })
	.openapi('Membership');

export const TokenRequest = z
	.discriminatedUnion('grant', [
		z.strictObject({
			grant: z.literal('password'),
			email: Email,
			password: Password,
			workspaceId: WorkspaceId.optional(),
			scopes: Scopes.optional(),
		}),
		z.strictObject({
			grant: z.literal('key'),
			key: z.string().min(1).max(300),
			scopes: Scopes.optional(),
			ttlS: z
				.int()
				.min(30)
				.max(L.keyTokenTtlMaxMs / 1000)
				.optional(),
		}),
		z.strictObject({
			grant: z.literal('refresh'),
			refreshToken: z.string().min(1).max(300),
			workspaceId: WorkspaceId.optional(),
			scopes: Scopes.optional(),
		}),
	])
	.openapi('TokenRequest', { example: { grant: 'password', email: 'ada@example.com', password: 'correct horse battery' } });

export const TokenAnswer = z
	.object({
		accessToken: z.string(),
		tokenType: z.literal('Bearer'),
		expiresIn: z.int(),
		scopes: z.array(z.string()),
		workspaceId: z.string().nullable(),
		refreshToken: z.string().optional(),
		account: AccountSchema.optional(),
		workspaces: z.array(MembershipSchema).optional(),
	})
	.openapi('AccessToken');

export const SessionSchema = z
	.object({
		id: z.string(),
		createdAt: z.iso.datetime(),
		usedAt: z.iso.datetime(),
		expiresAt: z.iso.datetime(),
		agent: z.string(),
		current: z.boolean(),
	})
	.openapi('Session');

export const CallerSchema = z
	.object({
		/** Empty for an account that is in no workspace. */
		workspaceId: z.string(),
		/** Scopes of the credential; `admin` covers all but `owner`, `account` and `operator`. */
		scopes: z.array(z.string()),
		/** Id of the API key; absent for a person. */
		keyId: z.string().optional(),
		/** The person who signed in; absent for a key. */
		account: z.object({ id: z.string(), email: z.string(), name: z.string() }).optional(),
		/** Of the person in the workspace. */
		role: z.enum(ROLES).optional(),
		/** Models that the key may use; absent = all. */
		models: z.array(z.string()).optional(),
		/** When the key ends. */
		expiresAt: z.iso.datetime().optional(),
	})
	.openapi('Caller');

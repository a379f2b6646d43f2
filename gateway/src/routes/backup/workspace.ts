/**
 * `/api/v1/backup/workspace` and `/api/v1/backup/restore/workspace`: members, keys, limits, usage, webhooks, rules of
 * alerts, takedowns and open jobs of a workspace.
 * @module
 */
import { createHmac } from 'node:crypto';
import { createRoute, z } from '@hono/zod-openapi';
import { BackupPart, LimnerError, toError, type BackupPartOf } from '@limner/shared';
import { accountIdOf } from '../../account/email.ts';
import { MAIL_STATES, type MailState } from '../../hooks/mail.ts';
import { byOf } from '../../lib/auth.ts';
import type { AppContext } from '../../lib/context.ts';
import { jsonRequest, jsonResponse, named, newApp, problems, secured, securedJson } from '../../lib/openapi.ts';
import { accountOf, deliveryOf, idempotent, workspaceOf } from '../../lib/stubs.ts';
import type { DeliveryPart } from '../../delivery/rpc.ts';
import type { WorkspacePart } from '../../rpc.ts';
import { invitationUrl, inviteByMail } from '../invitations/links.ts';

/** Parts in one request; they are bounded by the size of a JSON body, too. */
const PARTS_MAX = 500;

const Part = named(BackupPart, 'BackupPart');
const Parts = z.object({ data: z.array(Part) }).openapi('BackupParts');
const Restored = z
	.object({
		/** Members who have no account here: the link makes one and joins. */
		invited: z.array(z.object({ email: z.string(), role: z.string(), url: z.string(), mail: z.enum(MAIL_STATES) })),
		/** What was left out, and why. */
		left: z.array(z.string()),
		/** Whether secrets of webhooks are those of before; null when no part says so. */
		sameSecret: z.boolean().nullable(),
	})
	.openapi('RestoredParts');
type Restored = z.infer<typeof Restored>;

/** Tells two secrets apart, and nothing else of them. */
const secretId = (secret: string): string => createHmac('sha256', secret).update('limner/v1/secret-id').digest('hex').slice(0, 16);

const isTold = (part: BackupPart): part is DeliveryPart => part.kind === 'webhook' || part.kind === 'alert-rules';
const isOwn = (part: BackupPart): part is WorkspacePart => !isTold(part);

const isOperator = (c: AppContext): boolean => c.get('principal').scopes.includes('operator');

export const backupWorkspaceRoutes = newApp();

backupWorkspaceRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/workspace',
		operationId: 'backupWorkspace',
		tags: ['backup'],
		summary: 'Members, keys, limits, usage, webhooks, rules of alerts, takedowns and open jobs',
		description: 'Nothing in it opens anything: keys are hashes, and secrets of webhooks are not in it.',
		...secured('admin'),
		responses: { 200: jsonResponse(Parts, 'All parts'), ...problems(401, 403, 429) },
	}),
	async (c) => {
		const { ws } = c.get('principal');
		const [own, delivery] = await Promise.all([
			idempotent(
				() => workspaceOf(c.env, ws),
				(stub) => stub.backupParts(secretId(c.env.LIMNER_SECRET)),
			),
			idempotent(
				() => deliveryOf(c.env, ws),
				(stub) => stub.backupParts(),
			),
		]);
		return c.json({ data: [...own, ...delivery] }, 200);
	},
);

type Member = BackupPartOf<'member'>;

/** Only whoever runs the gateway may put people into a workspace who were not asked, or make somebody its owner. */
const joinsAtOnce = async (c: AppContext, member: Member): Promise<boolean> =>
	isOperator(c) && (await accountOf(c.env, member.accountId).view()) !== null;

const inviteMember = async (c: AppContext, { email, role }: Member, answer: Restored): Promise<void> => {
	const { ws } = c.get('principal');
	const by = byOf(c.get('principal'));
	if (role === 'owner' && !isOperator(c)) {
		answer.left.push(`owner ${email}: only the key that the gateway was started with can bring an owner back`);
		return;
	}
	const made = await (role === 'owner' ? workspaceOf(c.env, ws).ownerLink(by.actor) : workspaceOf(c.env, ws).invite({ role, email }, by));
	if (!made.ok) {
		answer.left.push(`member ${email}: ${made.detail ?? made.code}`);
		return;
	}
	const url = invitationUrl(c, made.token);
	const mail: MailState = await inviteByMail(c, { to: email, role, url, expiresAt: made.invitation.expiresAt });
	answer.invited.push({ email, role, url, mail });
};

const restoreMembers = async (c: AppContext, members: readonly Member[], answer: Restored): Promise<Member[]> => {
	const joined: Member[] = [];
	for (const member of members) {
		if (accountIdOf(member.email) !== member.accountId) answer.left.push(`member ${member.email}: the account is not of this address`);
		else if (await joinsAtOnce(c, member)) joined.push(member);
		else await inviteMember(c, member, answer);
	}
	return joined;
};

backupWorkspaceRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/restore/workspace',
		operationId: 'restoreWorkspace',
		tags: ['backup'],
		summary: 'Bring back what a workspace is besides ledger, ended jobs and pictures',
		description:
			'After the ledger, before the end of the restore. Keys that exist stay as they are. Limits, usage, reservations, open jobs, and members who have an account here, come back when the key that the gateway was started with asks; other members are invited. Open jobs begin anew.',
		...securedJson('admin'),
		request: { body: jsonRequest(z.strictObject({ parts: z.array(Part).max(PARTS_MAX) }).openapi('RestoreParts')) },
		responses: { 200: jsonResponse(Restored, 'What came of it'), ...problems(400, 401, 403, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { parts } = c.req.valid('json');
		const { ws } = c.get('principal');
		const stub = workspaceOf(c.env, ws);
		if (!(await stub.isRestoring())) throw new LimnerError('conflict', { detail: 'no restore has begun' });
		const profile = parts.find((part) => part.kind === 'profile');
		const answer: Restored = { invited: [], left: [], sameSecret: null };
		if (profile !== undefined) answer.sameSecret = profile.secretId === secretId(c.env.LIMNER_SECRET);
		const joined = await restoreMembers(
			c,
			parts.filter((part) => part.kind === 'member'),
			answer,
		);
		const own = parts.filter(isOwn).filter((part) => part.kind !== 'member' || joined.includes(part));
		const written = await stub.restoreParts(own, isOperator(c));
		if (!written.ok) throw toError(written);
		answer.left.push(...written.left);
		for (const { accountId, role } of joined) await accountOf(c.env, accountId).setMembership(ws, role);
		const told = parts.filter(isTold);
		if (told.length > 0) answer.left.push(...(await deliveryOf(c.env, ws).restoreParts(ws, told)));
		return c.json(answer, 200);
	},
);

import type { Invitation, Member, Role } from '@limner/sdk';
import { useQuery } from '@tanstack/react-query';
import { Plus } from 'lucide-react';
import { useState } from 'react';
import { ago } from '../../lib/format.ts';
import { mayDo } from '../../lib/may.ts';
import { perform, useBusy } from '../../lib/mutate.ts';
import { queries } from '../../lib/queries.ts';
import { useMay, useMe, useWhyNot } from '../../lib/scopes.ts';
import { client } from '../../lib/session.ts';
import { p } from '../../strings/pool.ts';
import { AskButton } from '../../ui/ask.tsx';
import { Button } from '../../ui/button.tsx';
import { Modal } from '../../ui/dialog.tsx';
import { INPUT, Select } from '../../ui/field.tsx';
import { GatedButton } from '../../ui/gate.tsx';
import { TextInput } from '../../ui/inputs.tsx';
import { Badge, Empty, Loaded, NoScope, Panel } from '../../ui/panel.tsx';
import { SecretDialog } from '../../ui/secret.tsx';
import { Cell, Row, Table } from '../../ui/table.tsx';

/** Ownership is handed over, never given. */
const GIVEN: readonly Role[] = ['admin', 'member', 'viewer'];
const MEMBERS = ['members'];
const INVITATIONS = ['invitations'];

const setRole = async (ws: string, { accountId }: Member, role: Role): Promise<void> => {
	queries.setQueryData<Member[]>([...MEMBERS, ws], (had) => had?.map((one) => (one.accountId === accountId ? { ...one, role } : one)));
	await client.members.setRole(ws, accountId, role);
};

const RoleSelect = ({ ws, member }: { ws: string; member: Member }) => {
	const why = useWhyNot('members:write');
	if (member.role === 'owner') return <Badge tone="good">{p.members.roles.owner}</Badge>;
	return (
		<select
			aria-label={`${p.members.role} ${member.name}`}
			title={why ?? p.members.may[member.role]}
			disabled={why !== undefined}
			value={member.role}
			onChange={(event) => void perform(() => setRole(ws, member, event.target.value as Role), MEMBERS)}
			className={`${INPUT} min-w-28`}
		>
			{GIVEN.map((role) => (
				<option key={role} value={role}>
					{p.members.roles[role]}
				</option>
			))}
		</select>
	);
};

const MemberRow = ({ ws, member }: { ws: string; member: Member }) => {
	const me = useMe();
	const mayTransfer = me === undefined || mayDo(me.scopes, 'owner') || mayDo(me.scopes, 'operator');
	return (
		<Row data-member={member.email}>
			<Cell>
				{member.name} {me?.account?.id === member.accountId ? <Badge>{p.members.you}</Badge> : null}
			</Cell>
			<Cell>{member.email}</Cell>
			<Cell>
				<RoleSelect ws={ws} member={member} />
			</Cell>
			<Cell>{ago(member.joinedAt)}</Cell>
			<Cell>
				{member.role === 'owner' ? null : (
					<div className="flex flex-wrap gap-2">
						<AskButton
							scope=""
							why={mayTransfer ? undefined : p.common.onlyOwner}
							kind="plain"
							label={p.members.transfer}
							name={member.name}
							title={p.members.transferTitle}
							text={p.members.transferText}
							onYes={() => void perform(() => client.members.transferOwnership(ws, member.accountId), MEMBERS, ['me'])}
						/>
						<AskButton
							scope={me?.account?.id === member.accountId ? '' : 'members:write'}
							label={p.members.remove}
							name={member.name}
							title={p.members.removeTitle}
							text={p.members.removeText}
							onYes={() => void perform(() => client.members.remove(ws, member.accountId), MEMBERS)}
						/>
					</div>
				)}
			</Cell>
		</Row>
	);
};

const Invite = ({ onClose, onMade }: { onClose: () => void; onMade: (url: string) => void }) => {
	const [role, setGiven] = useState<Role>('member');
	const [email, setEmail] = useState('');
	const [busy, run] = useBusy();
	const make = async (): Promise<void> => {
		const made = await client.members.invite({ role, ...(email.trim() === '' ? {} : { email: email.trim() }) });
		onClose();
		onMade(made.url);
	};
	return (
		<Modal open onOpenChange={onClose} title={p.members.inviteTitle} lead={p.members.inviteLead}>
			<form
				className="flex flex-col gap-3"
				onSubmit={(event) => {
					event.preventDefault();
					void run(() => perform(make, INVITATIONS));
				}}
			>
				<Select
					label={p.members.inviteRole}
					value={role}
					options={GIVEN.map((value) => ({ value, label: `${p.members.roles[value]}: ${p.members.may[value]}` }))}
					onChange={(value) => setGiven(value as Role)}
				/>
				<TextInput label={p.members.email} type="email" placeholder={p.members.emailHint} value={email} onChange={setEmail} />
				<div className="flex justify-end gap-2">
					<Button onClick={onClose}>{p.common.cancel}</Button>
					<Button type="submit" kind="primary" disabled={busy}>
						{p.members.makeLink}
					</Button>
				</div>
			</form>
		</Modal>
	);
};

const InvitationRow = ({ invitation }: { invitation: Invitation }) => (
	<Row data-invitation={invitation.id}>
		<Cell>{invitation.email ?? p.members.anybody}</Cell>
		<Cell>{p.members.roles[invitation.role]}</Cell>
		<Cell>
			<Badge tone={invitation.state === 'open' ? 'good' : 'muted'}>{p.members.states[invitation.state]}</Badge>
		</Cell>
		<Cell>{new Date(invitation.expiresAt).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' })}</Cell>
		<Cell>
			{invitation.state === 'open' ? (
				<AskButton
					scope="members:write"
					label={p.members.withdraw}
					name={invitation.email ?? p.members.anybody}
					title={p.members.withdrawTitle}
					text={p.members.withdrawText}
					onYes={() => void perform(() => client.members.withdraw(invitation.id), INVITATIONS)}
				/>
			) : null}
		</Cell>
	</Row>
);

const Invitations = () => {
	const query = useQuery({ queryKey: INVITATIONS, queryFn: ({ signal }) => client.members.invitations({ signal }) });
	const [inviting, setInviting] = useState(false);
	const [link, setLink] = useState<string>();
	const list = query.data ?? [];
	return (
		<Panel
			title={p.members.invitations}
			actions={
				<GatedButton scope="members:write" kind="primary" icon={<Plus size={16} aria-hidden />} onClick={() => setInviting(true)}>
					{p.members.invite}
				</GatedButton>
			}
		>
			<Loaded query={query}>
				{list.length === 0 ? (
					<Empty>{p.members.invitationsEmpty}</Empty>
				) : (
					<Table
						label={p.members.invitations}
						head={[p.members.invited, p.members.inviteRole, p.alerts.state, p.members.until, p.common.actions]}
					>
						{list.map((invitation) => (
							<InvitationRow key={invitation.id} invitation={invitation} />
						))}
					</Table>
				)}
			</Loaded>
			{inviting ? <Invite onClose={() => setInviting(false)} onMade={setLink} /> : null}
			<SecretDialog secret={link} title={p.members.linkTitle} lead={p.members.inviteLead} onClose={() => setLink(undefined)} />
		</Panel>
	);
};

const useMembers = (ws: string, may = true) =>
	useQuery({ queryKey: [...MEMBERS, ws], queryFn: ({ signal }) => client.members.list(ws, { signal }), enabled: may && ws !== '' });

const Members = ({ ws }: { ws: string }) => {
	const query = useMembers(ws);
	const list = query.data ?? [];
	return (
		<Panel title={p.tabs.members} lead={p.members.lead}>
			<Loaded query={query}>
				{list.length === 0 ? (
					<Empty>{p.members.empty}</Empty>
				) : (
					<Table label={p.tabs.members} head={[p.keys.name, p.members.mail, p.members.inviteRole, p.members.joined, p.common.actions]}>
						{list.map((member) => (
							<MemberRow key={member.accountId} ws={ws} member={member} />
						))}
					</Table>
				)}
			</Loaded>
		</Panel>
	);
};

/** Who belongs to the workspace, and who is invited. */
export const MembersPage = () => {
	const me = useMe();
	const may = useMay('members:read');
	const { isPending } = useMembers(me?.workspaceId ?? '', may);
	if (!may) return <NoScope scope="members:read" />;
	if (me === undefined) return null;
	return (
		<>
			<Members ws={me.workspaceId} />
			{/* Not before what stands above it: it would be pushed down. */}
			{isPending ? null : <Invitations />}
		</>
	);
};

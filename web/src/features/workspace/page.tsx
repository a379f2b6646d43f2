import type { Workspace, WorkspaceEntry } from '@limner/sdk';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Plus } from 'lucide-react';
import { useState } from 'react';
import { ago } from '../../lib/format.ts';
import { mayDo } from '../../lib/may.ts';
import { perform } from '../../lib/mutate.ts';
import { useMay, useMe } from '../../lib/scopes.ts';
import { client } from '../../lib/session.ts';
import { workspaces as texts } from '../../strings/operator.ts';
import { p } from '../../strings/pool.ts';
import { Button } from '../../ui/button.tsx';
import { GatedButton, ReasonedButton } from '../../ui/gate.tsx';
import { Badge, Empty, Facts, Loaded, NoScope, Panel } from '../../ui/panel.tsx';
import { SecretDialog } from '../../ui/secret.tsx';
import { LimitsDialog, NewWorkspaceDialog, RenameDialog, WORKSPACES } from './forms.tsx';
import { wordsOf } from './limits.ts';

const useOperator = (): boolean => {
	const me = useMe();
	return me !== undefined && mayDo(me.scopes, 'operator');
};

const useWorkspace = (id: string, may = true) =>
	useQuery({ queryKey: [...WORKSPACES, id], queryFn: ({ signal }) => client.workspaces.get(id, { signal }), enabled: may && id !== '' });

const About = ({ workspace }: { workspace: Workspace }) => {
	const limits = wordsOf(workspace.limits);
	return (
		<Facts
			items={[
				[texts.name, workspace.name],
				[texts.id, <code key="id">{workspace.id}</code>],
				[texts.made, ago(workspace.createdAt)],
				[texts.people, workspace.hasOwner ? workspace.members : `${workspace.members} · ${texts.noOwner}`],
				[texts.limits, limits === '' ? texts.gatewayLimits : limits],
			]}
		/>
	);
};

const Buttons = ({ workspace, onLink }: { workspace: Workspace; onLink: (url: string) => void }) => {
	const [doing, setDoing] = useState<'rename' | 'limits'>();
	const operator = useOperator();
	const close = (): void => setDoing(undefined);
	return (
		<div className="mt-4 flex flex-wrap gap-2">
			<GatedButton scope="admin" onClick={() => setDoing('rename')}>
				{texts.rename}
			</GatedButton>
			<ReasonedButton why={operator ? undefined : texts.onlyOperator} onClick={() => setDoing('limits')}>
				{texts.changeLimits}
			</ReasonedButton>
			{operator && !workspace.hasOwner ? (
				<Button onClick={() => void perform(async () => onLink((await client.workspaces.ownerLink(workspace.id)).url))}>
					{texts.ownerLink}
				</Button>
			) : null}
			{doing === 'rename' ? <RenameDialog workspace={workspace} onClose={close} /> : null}
			{doing === 'limits' ? <LimitsDialog workspace={workspace} onClose={close} /> : null}
		</div>
	);
};

const Details = ({ id, onLink }: { id: string; onLink: (url: string) => void }) => {
	const query = useWorkspace(id);
	return (
		<Loaded query={query}>
			{query.data === undefined ? null : (
				<>
					<About workspace={query.data} />
					<Buttons workspace={query.data} onLink={onLink} />
				</>
			)}
		</Loaded>
	);
};

const Entry = ({ entry, onLink }: { entry: WorkspaceEntry; onLink: (url: string) => void }) => {
	const [open, setOpen] = useState(false);
	const here = useMe()?.workspaceId === entry.id;
	return (
		<li data-workspace-entry={entry.id} className="border-b border-line/60 py-2 last:border-0">
			<div className="flex flex-wrap items-center gap-3 text-sm">
				<code className="min-w-32 flex-1 break-all">{entry.id}</code>
				{here ? <Badge tone="good">{texts.here}</Badge> : null}
				{entry.deletedAt === null ? null : <Badge tone="bad">{texts.deleted}</Badge>}
				<span className="text-muted max-sm:hidden">{entry.createdAt === null ? '' : ago(entry.createdAt)}</span>
				{entry.deletedAt === null ? (
					<Button aria-expanded={open} aria-label={`${texts.open}: ${entry.id}`} onClick={() => setOpen(!open)}>
						{open ? p.common.close : texts.open}
					</Button>
				) : null}
			</div>
			{open ? (
				<div className="mt-2 rounded-xl bg-sunk p-3">
					<Details id={entry.id} onLink={onLink} />
				</div>
			) : null}
		</li>
	);
};

/** Every workspace of the gateway, for its operator. */
const All = ({ onLink }: { onLink: (url: string) => void }) => {
	const [adding, setAdding] = useState(false);
	const query = useInfiniteQuery({
		queryKey: [...WORKSPACES, 'all'],
		queryFn: ({ pageParam, signal }) => client.workspaces.list(pageParam === undefined ? {} : { cursor: pageParam }, { signal }),
		initialPageParam: undefined as string | undefined,
		getNextPageParam: (last) => last.nextCursor ?? undefined,
	});
	const list = query.data?.pages.flatMap(({ data }) => data) ?? [];
	return (
		<Panel
			title={texts.all}
			lead={texts.allLead}
			actions={
				<Button kind="primary" icon={<Plus size={16} aria-hidden />} onClick={() => setAdding(true)}>
					{texts.add}
				</Button>
			}
		>
			<Loaded query={query}>
				{list.length === 0 ? <Empty>{texts.allEmpty}</Empty> : null}
				<ul>
					{list.map((entry) => (
						<Entry key={entry.id} entry={entry} onLink={onLink} />
					))}
				</ul>
				{query.hasNextPage ? <Button onClick={() => void query.fetchNextPage()}>{p.common.more}</Button> : null}
			</Loaded>
			{adding ? <NewWorkspaceDialog onMade={onLink} onClose={() => setAdding(false)} /> : null}
		</Panel>
	);
};

/** Name and limits of the workspace; for the operator of the gateway all workspaces. */
export const WorkspacePage = () => {
	const me = useMe();
	const may = useMay('members:read');
	const operator = useOperator();
	const [link, setLink] = useState<string>();
	const { isPending } = useWorkspace(me?.workspaceId ?? '', may);
	if (!may) return <NoScope scope="members:read" />;
	if (me === undefined) return null;
	return (
		<>
			<Panel title={texts.title} lead={texts.lead}>
				<Details id={me.workspaceId} onLink={setLink} />
			</Panel>
			{/* Not before what stands above it: it would be pushed down. */}
			{operator && !isPending ? <All onLink={setLink} /> : null}
			<SecretDialog secret={link} title={texts.linkTitle} lead={p.members.inviteLead} onClose={() => setLink(undefined)} />
		</>
	);
};

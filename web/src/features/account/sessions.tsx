import type { Session } from '@limner/sdk';
import { useQuery } from '@tanstack/react-query';
import { ago } from '../../lib/format.ts';
import { perform, useBusy } from '../../lib/mutate.ts';
import { client } from '../../lib/session.ts';
import { t } from '../../strings.ts';
import { Button } from '../../ui/button.tsx';
import { Badge, Loaded } from '../../ui/panel.tsx';
import { agentWords } from './agent.ts';

const SESSIONS = ['sessions'];

const end = (sessions: readonly Session[]): Promise<boolean> =>
	perform(() => Promise.all(sessions.map(({ id }) => client.accounts.endSession(id))), SESSIONS);

/** Where the account is signed in, and the way to end that elsewhere. */
export const Sessions = () => {
	const query = useQuery({ queryKey: SESSIONS, queryFn: ({ signal }) => client.accounts.sessions({ signal }) });
	const [busy, run] = useBusy();
	const sessions = query.data ?? [];
	const others = sessions.filter(({ current }) => !current);
	return (
		<div className="mt-3 flex flex-col gap-3">
			<Loaded query={query}>
				<ul className="flex flex-col">
					{sessions.map((session) => (
						<li
							key={session.id}
							data-session={String(session.current)}
							className="flex flex-wrap items-center gap-3 border-b border-line/60 py-2 text-sm last:border-0"
						>
							<span className="min-w-40 flex-1" title={session.agent}>
								{agentWords(session.agent, t.account.unknownAgent)}{' '}
								<span className="text-muted">
									· {t.account.used} {ago(session.usedAt)}
								</span>
							</span>
							{session.current ? (
								<Badge tone="good">{t.account.thisOne}</Badge>
							) : (
								<Button
									disabled={busy}
									aria-label={`${t.account.signOut}: ${agentWords(session.agent, t.account.unknownAgent)}`}
									onClick={() => void run(async () => void (await end([session])))}
								>
									{t.account.signOut}
								</Button>
							)}
						</li>
					))}
				</ul>
			</Loaded>
			{others.length > 1 ? (
				<Button kind="danger" className="self-start" disabled={busy} onClick={() => void run(async () => void (await end(others)))}>
					{t.account.signOutOthers}
				</Button>
			) : null}
		</div>
	);
};

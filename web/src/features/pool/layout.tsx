import { Link, Outlet, useLocation } from '@tanstack/react-router';
import { useEffect, useRef } from 'react';
import { mayDo } from '../../lib/may.ts';
import { useMe } from '../../lib/scopes.ts';
import { t } from '../../strings.ts';
import { p } from '../../strings/pool.ts';
import { useDashboard, useLive } from './live.ts';

const TABS = [
	{ to: '/pool', label: p.tabs.machines, scope: '' },
	{ to: '/pool/dashboard', label: p.tabs.dashboard, scope: 'supervisor:read' },
	{ to: '/pool/alerts', label: p.tabs.alerts, scope: 'supervisor:read' },
	{ to: '/pool/reports', label: p.tabs.reports, scope: 'admin' },
	{ to: '/pool/ledger', label: p.tabs.ledger, scope: 'audit:read' },
	{ to: '/pool/usage', label: p.tabs.usage, scope: 'resources:read' },
	{ to: '/pool/keys', label: p.tabs.keys, scope: 'keys:read' },
	{ to: '/pool/webhooks', label: p.tabs.webhooks, scope: 'webhooks:read' },
	{ to: '/pool/members', label: p.tabs.members, scope: 'members:read' },
	{ to: '/pool/workspace', label: p.tabs.workspace, scope: 'members:read' },
	{ to: '/pool/tokens', label: p.tabs.tokens, scope: 'nodes:join' },
] as const;

const TAB =
	'shrink-0 rounded-t-lg border-b-2 border-transparent px-3 py-2 text-sm whitespace-nowrap text-muted hover:text-text data-[status=active]:border-accent data-[status=active]:font-semibold data-[status=active]:text-text';

const OpenAlerts = () => {
	const { data } = useDashboard();
	const open = data?.metrics.alertsOpen ?? 0;
	return open === 0 ? null : <span className="ml-1.5 rounded-full bg-accent px-1.5 text-[11px] leading-4 text-on-accent">{open}</span>;
};

/** Tabs of the pool; those that the key may not see are left out. */
const Tabs = () => {
	const me = useMe();
	const path = useLocation({ select: ({ pathname }) => pathname });
	const list = useRef<HTMLElement>(null);
	// A phone shows four tabs at a time.
	useEffect(() => {
		// In braces: newer browsers answer a promise here, which an effect must not.
		list.current?.querySelector('[data-status=active]')?.scrollIntoView({ inline: 'nearest', block: 'nearest' });
	}, [path]);
	const shown = TABS.filter(({ scope }) => scope === '' || me === undefined || mayDo(me.scopes, scope));
	return (
		<nav
			ref={list}
			aria-label={p.tabs.label}
			className="-mx-4 overflow-x-auto border-b border-line px-4 [scrollbar-width:none] sm:mx-0 sm:px-0"
		>
			<div className="flex gap-1">
				{shown.map(({ to, label }) => (
					<Link key={to} to={to} className={TAB} activeOptions={{ exact: to === '/pool' }}>
						{label}
						{to === '/pool/alerts' ? <OpenAlerts /> : null}
					</Link>
				))}
			</div>
		</nav>
	);
};

/** Heading and tabs of everything about the pool, and the page below. */
export const PoolLayout = () => {
	useLive();
	return (
		<div className="mx-auto flex max-w-6xl flex-col gap-4 p-4 sm:p-6">
			<h1 className="font-display text-2xl">{t.pool.title}</h1>
			<Tabs />
			<div className="flex min-w-0 flex-col gap-6">
				<Outlet />
			</div>
		</div>
	);
};

import { Link, Outlet } from '@tanstack/react-router';
import { Brush, Grid3x3, Images, Server, Settings, Sparkles, WifiOff, Workflow } from 'lucide-react';
import { lazy, Suspense } from 'react';
import { reachable, useJobsFeed } from '../../lib/queries.ts';
import { useValue } from '../../lib/value.ts';
import { t } from '../../strings.ts';
import { isOpen } from '../jobs/entry.ts';
import { useEntries } from '../jobs/store.ts';
import { toured } from '../tour/state.ts';

const Tour = lazy(async () => ({ default: (await import('../tour/tour.tsx')).Tour }));

const PAGES = [
	{ to: '/', label: t.nav.create, Icon: Sparkles },
	{ to: '/edit', label: t.nav.edit, Icon: Brush },
	{ to: '/grid', label: t.nav.grid, Icon: Grid3x3 },
	{ to: '/workflow', label: t.nav.workflow, Icon: Workflow },
	{ to: '/gallery', label: t.nav.gallery, Icon: Images },
	{ to: '/pool', label: t.nav.pool, Icon: Server },
	{ to: '/account', label: t.nav.account, Icon: Settings },
] as const;

const ITEM =
	'relative flex flex-1 flex-col items-center gap-0.5 rounded-xl px-2 py-2 text-xs text-muted hover:text-text data-[status=active]:bg-sunk data-[status=active]:font-semibold data-[status=active]:text-text sm:flex-none sm:px-3';

const Navigation = () => {
	const open = useEntries().filter(isOpen).length;
	return (
		<nav
			aria-label={t.app}
			className="fixed inset-x-0 bottom-0 z-30 flex border-t border-line bg-panel px-1 pb-[env(safe-area-inset-bottom)] sm:static sm:w-24 sm:flex-col sm:gap-1 sm:border-t-0 sm:border-r sm:p-2 sm:pt-4"
		>
			<span aria-hidden className="mb-3 hidden text-center font-display text-lg sm:block">
				{t.app}
			</span>
			{PAGES.map(({ to, label, Icon }) => (
				<Link key={to} to={to} className={ITEM} activeOptions={{ exact: to === '/' }}>
					<Icon size={20} aria-hidden />
					{label}
					{to === '/' && open > 0 ? (
						<span className="absolute top-1 right-1/4 rounded-full bg-accent px-1.5 text-[11px] leading-4 text-on-accent sm:right-3">
							{open}
						</span>
					) : null}
				</Link>
			))}
		</nav>
	);
};

const Offline = () =>
	useValue(reachable) ? null : (
		<div role="alert" className="flex items-center justify-center gap-2 bg-warn/15 px-4 py-2 text-sm text-warn">
			<WifiOff size={16} aria-hidden />
			{t.offline}
		</div>
	);

const FirstTime = () =>
	useValue(toured) ? null : (
		<Suspense>
			<Tour />
		</Suspense>
	);

/** Navigation at the side, on a phone below; the page beside it. */
export const Shell = () => {
	useJobsFeed();
	return (
		<div className="flex h-full flex-col sm:flex-row">
			<a href="#content" className="sr-only focus:not-sr-only focus:absolute focus:z-50 focus:rounded-lg focus:bg-raised focus:p-3">
				{t.skip}
			</a>
			<Navigation />
			<div className="flex min-h-0 min-w-0 flex-1 flex-col">
				<Offline />
				<main id="content" tabIndex={-1} className="min-h-0 flex-1 overflow-y-auto pb-20 focus:outline-none sm:pb-0">
					<Outlet />
				</main>
			</div>
			<FirstTime />
		</div>
	);
};

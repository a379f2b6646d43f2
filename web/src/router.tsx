/**
 * The pages. Addresses are behind a `#`, so that the gateway's own paths stay its own; each page is a file of its own, loaded when it is opened.
 * @module
 */
import { createHashHistory, createRootRoute, createRoute, createRouter, lazyRouteComponent } from '@tanstack/react-router';
import { CreatePage } from './features/create/page.tsx';
import { Broken } from './features/layout/broken.tsx';
import { Shell } from './features/layout/shell.tsx';

const root = createRootRoute({ component: Shell });

const page = <P extends string>(path: P, component: Parameters<typeof createRoute>[0]['component']) =>
	createRoute({ getParentRoute: () => root, path, component: component as never });

/** The pool's pages share a heading and tabs. */
const pool = createRoute({
	getParentRoute: () => root,
	path: '/pool',
	component: lazyRouteComponent(() => import('./features/pool/layout.tsx'), 'PoolLayout'),
});
const poolPage = <P extends string>(path: P, component: Parameters<typeof createRoute>[0]['component']) =>
	createRoute({ getParentRoute: () => pool, path, component: component as never });

const poolPages = pool.addChildren([
	poolPage(
		'/',
		lazyRouteComponent(() => import('./features/pool/page.tsx'), 'PoolPage'),
	),
	poolPage(
		'/nodes/$id',
		lazyRouteComponent(() => import('./features/pool/node-page.tsx'), 'NodePage'),
	),
	poolPage(
		'/dashboard',
		lazyRouteComponent(() => import('./features/dashboard/page.tsx'), 'DashboardPage'),
	),
	poolPage(
		'/alerts',
		lazyRouteComponent(() => import('./features/alerts/page.tsx'), 'AlertsPage'),
	),
	poolPage(
		'/ledger',
		lazyRouteComponent(() => import('./features/ledger/page.tsx'), 'LedgerPage'),
	),
	poolPage(
		'/usage',
		lazyRouteComponent(() => import('./features/usage/page.tsx'), 'UsagePage'),
	),
	poolPage(
		'/keys',
		lazyRouteComponent(() => import('./features/keys/page.tsx'), 'KeysPage'),
	),
	poolPage(
		'/webhooks',
		lazyRouteComponent(() => import('./features/webhooks/page.tsx'), 'WebhooksPage'),
	),
	poolPage(
		'/members',
		lazyRouteComponent(() => import('./features/members/page.tsx'), 'MembersPage'),
	),
	poolPage(
		'/reports',
		lazyRouteComponent(() => import('./features/reports/page.tsx'), 'ReportsPage'),
	),
	poolPage(
		'/workspace',
		lazyRouteComponent(() => import('./features/workspace/page.tsx'), 'WorkspacePage'),
	),
	poolPage(
		'/tokens',
		lazyRouteComponent(() => import('./features/tokens/page.tsx'), 'TokensPage'),
	),
]);

const tree = root.addChildren([
	page('/', CreatePage),
	page(
		'/edit',
		lazyRouteComponent(() => import('./features/edit/page.tsx'), 'EditPage'),
	),
	page(
		'/grid',
		lazyRouteComponent(() => import('./features/grid/page.tsx'), 'GridPage'),
	),
	page(
		'/grid/$id',
		lazyRouteComponent(() => import('./features/grid/page.tsx'), 'GridPage'),
	),
	page(
		'/workflow',
		lazyRouteComponent(() => import('./features/workflow/page.tsx'), 'WorkflowPage'),
	),
	page(
		'/workflow/$id',
		lazyRouteComponent(() => import('./features/workflow/page.tsx'), 'WorkflowPage'),
	),
	page(
		'/gallery',
		lazyRouteComponent(() => import('./features/gallery/page.tsx'), 'GalleryPage'),
	),
	poolPages,
	page(
		'/account',
		lazyRouteComponent(() => import('./features/account/page.tsx'), 'AccountPage'),
	),
]);

export const router = createRouter({
	routeTree: tree,
	history: createHashHistory(),
	defaultPreload: 'intent',
	defaultErrorComponent: Broken,
	scrollRestoration: false,
});

declare module '@tanstack/react-router' {
	interface Register {
		router: typeof router;
	}
}

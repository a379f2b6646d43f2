/**
 * The pages. Addresses are behind a `#`, so that the gateway's own paths stay its own; each page is a file of its own, loaded when it is opened.
 * @module
 */
import { createHashHistory, createRootRoute, createRoute, createRouter, lazyRouteComponent } from '@tanstack/react-router';
import { CreatePage } from './features/create/page.tsx';
import { Shell } from './features/layout/shell.tsx';

const root = createRootRoute({ component: Shell });

const page = <P extends string>(path: P, component: Parameters<typeof createRoute>[0]['component']) =>
	createRoute({ getParentRoute: () => root, path, component: component as never });

const tree = root.addChildren([
	page('/', CreatePage),
	page(
		'/edit',
		lazyRouteComponent(() => import('./features/edit/page.tsx'), 'EditPage'),
	),
	page(
		'/gallery',
		lazyRouteComponent(() => import('./features/gallery/page.tsx'), 'GalleryPage'),
	),
	page(
		'/pool',
		lazyRouteComponent(() => import('./features/pool/page.tsx'), 'PoolPage'),
	),
	page(
		'/account',
		lazyRouteComponent(() => import('./features/account/page.tsx'), 'AccountPage'),
	),
]);

export const router = createRouter({ routeTree: tree, history: createHashHistory(), defaultPreload: 'intent', scrollRestoration: false });

declare module '@tanstack/react-router' {
	interface Register {
		router: typeof router;
	}
}

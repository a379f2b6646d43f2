import { QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { Tooltip } from 'radix-ui';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { watchTheme } from './features/layout/theme.ts';
import { Entrance } from './features/signin/entrance.tsx';
import { followed, parseLink } from './features/signin/link.ts';
import { forget } from './features/jobs/store.ts';
import { queries } from './lib/queries.ts';
import { identity, signIn } from './lib/session.ts';
import { router } from './router.tsx';
import './styles.css';

/** What a link carries leaves the address bar at once, so that it is not copied along or kept in the history. */
const takeLink = (): void => {
	const link = parseLink(location.hash);
	if (link === undefined) return;
	history.replaceState(null, '', `${location.pathname}#/`);
	if (link.kind === 'key') signIn(link.code).catch(() => undefined);
	else followed.set(link);
};

watchTheme();
takeLink();
identity.subscribe(() => {
	forget();
	queries.clear();
});
const root = document.querySelector('#root');
if (root === null) throw new Error('the page has no #root');
createRoot(root).render(
	<StrictMode>
		<QueryClientProvider client={queries}>
			<Tooltip.Provider>
				<Entrance>
					<RouterProvider router={router} />
				</Entrance>
			</Tooltip.Provider>
		</QueryClientProvider>
	</StrictMode>,
);

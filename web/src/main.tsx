import { QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { Tooltip } from 'radix-ui';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { watchTheme } from './features/layout/theme.ts';
import { SignIn } from './features/signin/sign-in.tsx';
import { forget } from './features/jobs/store.ts';
import { queries } from './lib/queries.ts';
import { apiKey, signIn } from './lib/session.ts';
import { useValue } from './lib/value.ts';
import { router } from './router.tsx';
import './styles.css';

/** A link with `#key=lk_…` signs in; the key leaves the address bar at once, so that it is not copied along. */
const takeKeyFromLink = (): void => {
	const key = /^#key=(.+)$/.exec(location.hash)?.[1];
	if (key === undefined) return;
	history.replaceState(null, '', `${location.pathname}#/`);
	signIn(decodeURIComponent(key)).catch(() => undefined);
};

const Studio = () => (useValue(apiKey) === undefined ? <SignIn /> : <RouterProvider router={router} />);

watchTheme();
takeKeyFromLink();
apiKey.subscribe(() => {
	forget();
	queries.clear();
});
const root = document.querySelector('#root');
if (root === null) throw new Error('the page has no #root');
createRoot(root).render(
	<StrictMode>
		<QueryClientProvider client={queries}>
			<Tooltip.Provider>
				<Studio />
			</Tooltip.Provider>
		</QueryClientProvider>
	</StrictMode>,
);

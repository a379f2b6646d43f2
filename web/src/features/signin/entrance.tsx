import { lazy, Suspense, type ReactNode } from 'react';
import { identity, session } from '../../lib/session.ts';
import { useValue } from '../../lib/value.ts';
import { Toasts } from '../../ui/toast.tsx';
import { followed } from './link.ts';

const SignIn = lazy(async () => ({ default: (await import('./sign-in.tsx')).SignIn }));
const FollowLink = lazy(async () => ({ default: (await import('./follow-link.tsx')).FollowLink }));
const NoWorkspace = lazy(async () => ({ default: (await import('./no-workspace.tsx')).NoWorkspace }));

const Inside = ({ children }: { children: ReactNode }) => {
	const who = useValue(identity);
	const signedIn = useValue(session);
	const link = useValue(followed);
	if (link !== undefined) return <FollowLink key={link.code} link={link} />;
	if (who === undefined) return <SignIn />;
	return signedIn !== undefined && signedIn.workspaceId === null ? <NoWorkspace /> : children;
};

/** The studio for who is signed in; before that the forms that lead there. */
export const Entrance = ({ children }: { children: ReactNode }) => (
	<>
		<Suspense>
			<Inside>{children}</Inside>
		</Suspense>
		<Toasts />
	</>
);

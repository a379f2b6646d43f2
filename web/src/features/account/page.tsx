import { useNavigate } from '@tanstack/react-router';
import { useUsage } from '../../lib/queries.ts';
import { signOut } from '../../lib/session.ts';
import { useValue } from '../../lib/value.ts';
import { t } from '../../strings.ts';
import { Button } from '../../ui/button.tsx';
import { Select } from '../../ui/field.tsx';
import { toured } from '../tour/state.ts';
import { AccountSection } from './account.tsx';
import { theme, type Theme } from '../layout/theme.ts';

const Figure = ({ value, label }: { value: number; label: string }) => (
	<div className="min-w-0 rounded-xl border border-line bg-raised p-3 sm:p-4">
		<div className="font-display text-2xl tabular-nums">{value.toLocaleString()}</div>
		<div className="text-sm break-words text-muted">{label}</div>
	</div>
);

/** What was used, how the page looks, and the way out. */
export const AccountPage = () => {
	const { data: usage } = useUsage();
	const look = useValue(theme);
	const navigate = useNavigate();
	const leave = (): void => {
		signOut();
		// Who signs in next begins at the front, not in the settings.
		void navigate({ to: '/' });
	};
	return (
		<div className="mx-auto flex max-w-2xl flex-col gap-6 p-4 sm:p-6">
			<h1 className="font-display text-2xl">{t.account.title}</h1>
			<section aria-label={t.account.usage} className="grid grid-cols-3 gap-2 sm:gap-3">
				<Figure value={usage?.images ?? 0} label={t.account.pictures} />
				<Figure value={Math.round((usage?.megapixelSteps ?? 0) * 10) / 10} label={t.account.work} />
				<Figure value={usage?.openJobs ?? 0} label={t.account.open} />
			</section>
			<AccountSection />
			<Select
				label={t.theme.label}
				value={look}
				options={(['system', 'light', 'dark'] as const).map((value) => ({ value, label: t.theme[value] }))}
				onChange={(value) => theme.set(value as Theme)}
			/>
			<div className="flex flex-wrap gap-3">
				<Button onClick={leave}>{t.account.signOut}</Button>
				<Button onClick={() => toured.set(false)}>{t.tour.again}</Button>
				<a href="/docs" className="inline-flex items-center text-sm text-accent underline">
					{t.account.docs}
				</a>
			</div>
		</div>
	);
};
